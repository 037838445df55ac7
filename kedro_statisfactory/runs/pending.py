"""A run that is complete and could not be committed: what its commit has to say is kept until then.

It is kept beside the data of the run, so that it is found from everywhere; where the server does not take it, in the
project in which the run was.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.local.staging import staging_folder_for
from kedro_statisfactory.errors import IntegrityError, ObjectNotFound, StatisfactoryError
from kedro_statisfactory.project import current_project
from kedro_statisfactory.runs.landing import commit_run
from kedro_statisfactory.runs.target import DATA_BRANCH, TOKEN, Target


def keep(target: Target) -> None:
    """Write what the commit of a run would have said to the run's branch, as an object named by its digest."""
    content = json.dumps(dict(target.metadata), sort_keys=True).encode()
    path = records.path_of(content, "json")
    records.store_once(target.api, target.repository, target.run_branch, path, content)


def keep_here(project: Path, target: Target, patch: bytes) -> bool:
    """Keep in the project what the commit of a run would have said; gives whether that could be done.

    Args:
        project: Its root folder.
        target: A repository of the run; its metadata has no secrets.
        patch: The code that is in no commit of git.
    """
    file = _file(project, target.api, target.repository, target.run_branch)
    if file is None:
        return False
    content = {"metadata": dict(target.metadata), "patch": base64.b64encode(patch).decode()}
    try:
        descriptor = os.open(f"{file}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.replace(f"{file}.new", file)
    except OSError:  # the disk is full
        return False
    return True


def forget(api: LakeFSAPI, repository: str, branch: str) -> None:
    """Drop what the project has kept of a run that is committed or dropped; arguments as for :func:`kept`."""
    if file := _file(current_project().path, api, repository, branch):
        with contextlib.suppress(OSError):
            file.unlink()


def _file(project: Path, api: LakeFSAPI, repository: str, branch: str) -> Path | None:
    """Where that is kept; ``None``: the project cannot be written to."""
    folder = staging_folder_for(project)
    name = hashlib.sha256(" ".join((api.host, repository, branch)).encode()).hexdigest()[:16]
    return folder and folder / f"pending-{name}.json"


def _kept_here(api: LakeFSAPI, repository: str, branch: str) -> tuple[Mapping[str, str], bytes] | None:
    """Metadata and patch that the project has kept."""
    file = _file(current_project().path, api, repository, branch)
    with contextlib.suppress(OSError, ValueError):  # there is none, or a killed process has written half of it
        found = json.loads(file.read_text(encoding="utf-8")) if file else None
        return found and (found["metadata"], base64.b64decode(found["patch"]))
    return None


def kept(api: LakeFSAPI, repository: str, branch: str) -> Mapping[str, str] | None:
    """What the commit would have said of a run that waits for it; ``None``: none does, so that it is not complete.

    Args:
        api: The server.
        repository: Where.
        branch: Of the run.
    """
    with contextlib.suppress(ObjectNotFound, IntegrityError):  # the branch is gone, or it is another program's
        for path in api.uncommitted(repository, branch):
            if path.startswith(records.RECORDS) and path.endswith(".json"):
                metadata = json.loads(records.read(api, repository, branch, path))
                if metadata.get(TOKEN) == branch:
                    return {str(key): str(value) for key, value in metadata.items()}
    here = _kept_here(api, repository, branch)
    return here and here[0]


def commit_kept(api: LakeFSAPI, repository: str, branch: str) -> bool:
    """Commit a run that waits for it; gives whether there was one.

    Raises:
        StatisfactoryError: It could not be committed, as before.
    """
    metadata = kept(api, repository, branch)
    if metadata is None:
        return False
    target = Target(api, repository, metadata[DATA_BRANCH], {}, branch, metadata=metadata)
    here = _kept_here(api, repository, branch)
    try:
        if here and here[1]:
            records.store_once(api, repository, branch, metadata["git_patch"], here[1])
        commit_run(target)
    except StatisfactoryError as error:
        raise type(error)(f"what the run wrote to {repository!r} could not be committed: {error.args[0]}") from error
    forget(api, repository, branch)
    return True
