"""What the commit of a run says about it: the code, the parameters, the machine and the job that made the data.

``git_commit_id`` and keys of the form ``::lakefs::<name>::url[url:ui]`` are those of lakectl; lakeFS's web page shows
the latter as links.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from kedro_statisfactory.backends.lakefs.model import CI_JOB
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.ci import page_of_job
from kedro_statisfactory.project.git import commit_url, read_worktree
from kedro_statisfactory.runs.redaction import USER_OF_URL, redacted

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
        "kedro_parameters": _canonical(redacted(parameters)).decode() if parameters else "",
        "kedro_parameters_sha256": hashlib.sha256(_canonical(parameters)).hexdigest(),
        "kedro_runtime_params": _canonical(redacted(runtime)).decode() if runtime else "",
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
        found[CI_JOB] = USER_OF_URL.sub("", page)
    return found


def _canonical(value: object) -> bytes:
    """The same bytes for equal parameters, whatever their order."""
    return json.dumps(_with_text_keys(value), sort_keys=True, default=repr).encode()


def _with_text_keys(value: object) -> object:
    """YAML has keys that are numbers, and these do not sort among texts."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value
