"""What the commit of a run says about it: the code, the parameters, the machine and the job that made the data.

``git_commit_id`` and keys of the form ``::lakefs::<name>::url[url:ui]`` are those of lakectl; lakeFS's web page shows
the latter as links.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.ci import page_of_job
from kedro_statisfactory.project.git import commit_url, read_worktree

# Names of parameters whose values nobody should read in a log.
_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|private|creds?\b|credential|auth(?!or)|cookie|dsn|conn|bearer|jwt|webhook|signature"
    r"|(^|[_-])(sas|sig|pw|pat|otp)([_-]|$)|^-p$|keys?\d*$",
    re.IGNORECASE,
)
# Keys of tables, which open nothing.
_NO_SECRET = re.compile(r"(primary|foreign|sort|group|join|partition)[_-]?keys?", re.IGNORECASE)
_LONGEST_TEXT = 2000  # characters of a value that are told
# What may hide in values: users of URLs, to the last @ because a password may have one; queries; connection strings.
_USER_OF_URL = re.compile(r"(?<=://)[^\s\"]*@")
_QUERY = re.compile(r"(?<=\w)\?\S*=\S*")
_IN_CONNECTION = re.compile(
    r"(?i)((?<![\w-])[\w-]{0,64}?(?:passw(?:or)?d|pwd|secret|token|key|sig)[\"']?\s{0,8}[=:]\s{0,8})"
    r"(?:\"[^\"]*\"|'[^']*'|[^;&\s\"']+)"
)
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)\s+)\S+")
_USER_OF_HOST = re.compile(r"^[^\s:/@]+:\S+@(?=[\w.-]+)")
_WEBHOOK = re.compile(r"(?i)(?<=://)([\w.-]*hooks?\.[\w.-]+/)\S+")
# How Kedro calls what narrows down a pipeline.
_SELECTIONS = ("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs", "namespaces")


def now() -> str:
    """The time in UTC, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def public_url(protocol: str, path: str) -> str:
    """The URL of an entry of another package, without user and query, in which passwords and signatures travel.

    Args:
        protocol: As fsspec names it; ``file`` and nothing are paths.
        path: What follows it; may still have it.

    >>> public_url("https", "me:pw@example.org/x.csv?sig=abc")
    'https://example.org/x.csv'
    """
    if protocol in ("", "file"):
        return path
    rest = path.removeprefix(f"{protocol}://").partition("?")[0]
    return f"{protocol}://{rest.rpartition('@')[2]}"


def of_code(project: Project) -> dict[str, str]:
    """Commit, branch and state of the project's git repository, as far as git tells them."""
    head = project.read_head()
    found: dict[str, str] = {}
    if head.branch is not None:
        found["git_branch"] = head.branch
    if head.commit is None:
        return found
    found["git_commit_id"] = head.commit
    try:
        worktree = read_worktree(project.path)
        if page := commit_url(project.path, head.commit):
            found[f"::lakefs::{page[0]}::url[url:ui]"] = page[1]
    except StatisfactoryError:  # without a git program the branch is known all the same, and the run can go on
        return {**found, "git_dirty": "unknown"}
    if worktree is not None:
        found["git_dirty"] = str(worktree.dirty).lower()
        if worktree.digest:
            found["git_diff_sha256"] = worktree.digest
    return found


def of_run(run_params: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """What Kedro was asked to run, with which parameters.

    Args:
        run_params: What Kedro tells its hooks about a run.
        parameters: All parameters of the catalog.
    """
    runtime = dict(run_params.get("runtime_params") or {})
    found = {
        "kedro_run_id": str(run_params["run_id"]),
        "kedro_pipeline": ", ".join(run_params.get("pipeline_names") or ("__default__",)),
        "kedro_env": run_params.get("env") or "",
        "kedro_version": run_params.get("kedro_version") or version("kedro"),
        "kedro_statisfactory_version": version("kedro-statisfactory"),
        "kedro_parameters_sha256": hashlib.sha256(_canonical(parameters)).hexdigest(),
        "kedro_runtime_params": _canonical(_redacted(runtime)).decode() if runtime else "",
    }
    for selection in _SELECTIONS:
        found[f"kedro_{selection}"] = ", ".join(run_params.get(selection) or ())
    return {key: value for key, value in found.items() if value}


def of_machine(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """User and host, and the page of the CI job when it is one."""
    found = {"kedro_host": socket.gethostname()}
    try:
        found["kedro_user"] = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        found["kedro_user"] = "unknown"
    if page := page_of_job(environ):
        found["::lakefs::Kedro CI job::url[url:ui]"] = _USER_OF_URL.sub("", page)
    return found


def _canonical(value: object) -> bytes:
    """The same bytes for equal parameters, whatever their order."""
    return json.dumps(_with_text_keys(value), sort_keys=True, default=repr).encode()


def _with_text_keys(value: object) -> object:
    """YAML has keys that are numbers, and these do not sort among texts."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str) -> bool:
    return _NO_SECRET.fullmatch(name) is None and _SECRET_NAME.search(name) is not None


def _redacted(value: Any, name: str = "") -> Any:
    if _is_secret(name):
        return "<redacted>"
    if isinstance(value, Mapping):
        # {name: password, value: …} is how lists of variables are written.
        named = any(_is_secret(str(value.get(key, ""))) for key in ("name", "key"))
        return {
            str(key): "<redacted>" if named and str(key) == "value" else _redacted(item, str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        # ["--password", "…"] is a command line.
        before = ["", *(each if isinstance(each, str) and each.startswith("-") else "" for each in value)]
        return [_redacted(item, option) for option, item in zip(before, value, strict=False)]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            value = f"{value[:_LONGEST_TEXT]}…"
        value = _QUERY.sub("?<redacted>", _USER_OF_URL.sub("<redacted>@", value))
        value = _USER_OF_HOST.sub("<redacted>@", _WEBHOOK.sub(r"\1<redacted>", value))
        return _BEARER.sub(r"\1<redacted>", _IN_CONNECTION.sub(r"\1<redacted>", value))
    return value
