"""What a commit says of a run, in full: what has no room in its metadata is an object beside the data."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, RUN_TOKEN, Commit
from kedro_statisfactory.backends.transfer import CHUNK
from kedro_statisfactory.errors import IntegrityError, ObjectNotFound
from kedro_statisfactory.project.branches import token_of

#: Key of the metadata that names the object with the rest.
RECORD = "kedro_record"
#: Below this are such objects. No entry is below the marks of folders, so no folder has its mark here.
RECORDS = f"{FOLDER_MARK}{FOLDER_MARK}"
#: Bytes of metadata that a commit has room for, beside those that are always there.
MOST = 4096
#: What is asked of a commit by itself, as a log does.
_KEPT = frozenset(
    "git_branch git_commit_id git_dirty git_patch kedro_data_branch kedro_env kedro_finish kedro_finished kedro_nodes "
    "kedro_part kedro_part_branch kedro_replaces kedro_run_branch kedro_run_commit kedro_run_id kedro_started".split()
)


@dataclass(frozen=True)
class Packed:
    """Metadata, cut in two.

    Attributes:
        metadata: What the commit keeps.
        record: The content of the object with the rest; empty: there is none.
    """

    metadata: Mapping[str, str]
    record: bytes = b""

    @property
    def path(self) -> str:
        """Of that object; empty: there is none."""
        return self.metadata.get(RECORD, "")


def pack(metadata: Mapping[str, str]) -> Packed:
    """Take out of metadata, the largest values first, what a commit has no room for.

    >>> pack({"kedro_run_id": "mine", "kedro_user": "me"}).metadata
    {'kedro_run_id': 'mine', 'kedro_user': 'me'}
    >>> pack({"kedro_run_id": "mine", "kedro_inputs": "x" * 10_000}).metadata.keys()
    dict_keys(['kedro_run_id', 'kedro_record'])
    """
    sizes = {
        key: len(key) + len(value.encode())
        for key, value in metadata.items()
        if key not in _KEPT and not key.startswith("::lakefs::")
    }
    taken: set[str] = set()
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        if sum(size for other, size in sizes.items() if other not in taken) <= MOST:
            break
        taken.add(key)
    if not taken:
        return Packed(metadata)
    record = json.dumps({key: metadata[key] for key in taken}, sort_keys=True).encode()
    kept = {key: value for key, value in metadata.items() if key not in taken}
    return Packed({**kept, RECORD: path_of(record, "json")}, record)


def path_of(content: bytes, suffix: str) -> str:
    """The path of an object with some content, which is named by its digest."""
    return f"{RECORDS}{hashlib.sha256(content).hexdigest()}.{suffix}"


def store(api: LakeFSAPI, repository: str, branch: str, packed: Packed) -> None:
    """Write to a branch what its next commit has no room for."""
    if packed.record:
        write(api, repository, branch, packed.path, packed.record)


def store_once(api: LakeFSAPI, repository: str, branch: str, path: str, content: bytes) -> None:
    """Write an object that is named by its digest to a branch, unless the branch has it from an earlier run."""
    try:
        api.stat(repository, branch, path)
    except ObjectNotFound:
        write(api, repository, branch, path, content)


def write(api: LakeFSAPI, repository: str, branch: str, path: str, content: bytes) -> None:
    """Write an object that is named by its digest to a branch."""
    api.upload(repository, branch, path, lambda: content, len(content))


def tells_of_run(commit: Commit) -> bool:
    """Whether a commit is the record of a run, or of a part of one."""
    return "kedro_outputs" in commit.metadata or RECORD in commit.metadata


def ids_of(commits: Sequence[Commit]) -> list[str]:
    """Ids by which the runs of commits are found, in the same order; other commits by their own.

    Of several runs with one id the first has it; the others have what tells them apart behind it, as their tags do.

    Args:
        commits: Newest first.
    """
    first = {each.metadata.get("kedro_run_id"): each.metadata.get(RUN_TOKEN) for each in commits}
    found: dict[str, None] = {}  # each part of a run may have a commit
    for commit in commits:
        run_id, token = commit.metadata.get("kedro_run_id"), commit.metadata.get(RUN_TOKEN, "")
        is_other = token != "" and token != first[run_id] and token_of(token)
        found[f"{run_id}-{token_of(token)}" if is_other else run_id or commit.id] = None
    return list(found)


def metadata_of(api: LakeFSAPI, repository: str, commit: Commit) -> Mapping[str, str]:
    """All that a commit says; asks for an object where it does not say that itself.

    Raises:
        IntegrityError: That object is missing, or is another one.
    """
    if RECORD not in commit.metadata:
        return commit.metadata
    rest: Mapping[str, str] = json.loads(read(api, repository, commit.id, commit.metadata[RECORD]))
    return {**{key: value for key, value in commit.metadata.items() if key != RECORD}, **rest}


def read(api: LakeFSAPI, repository: str, ref: str, path: str) -> bytes:
    """An object that is named by its digest.

    Raises:
        IntegrityError: It is missing, or is another one.
    """
    content = b""
    with contextlib.suppress(ObjectNotFound), api.open(repository, ref, path) as answer:
        content = b"".join(answer.chunks(CHUNK))
    if path_of(content, "json") != path:
        raise IntegrityError(f"the record {path!r} at {ref!r} of {repository!r} is missing or damaged.")
    return content
