"""A run that is complete and could not be committed: what its commit has to say is kept beside its data until then."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import IntegrityError, ObjectNotFound, StatisfactoryError
from kedro_statisfactory.runs.landing import commit_run
from kedro_statisfactory.runs.target import DATA_BRANCH, TOKEN, Target


def keep(target: Target) -> None:
    """Write what the commit of a run would have said to the run's branch, as an object named by its digest."""
    content = json.dumps(dict(target.metadata), sort_keys=True).encode()
    path = records.path_of(content, "json")
    records.store_once(target.api, target.repository, target.run_branch, path, content)


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
    return None


def commit_kept(api: LakeFSAPI, repository: str, branch: str) -> bool:
    """Commit a run that waits for it; gives whether there was one.

    Raises:
        StatisfactoryError: It could not be committed, as before.
    """
    metadata = kept(api, repository, branch)
    if metadata is None:
        return False
    target = Target(api, repository, metadata[DATA_BRANCH], {}, branch, metadata=metadata)
    try:
        commit_run(target)
    except StatisfactoryError as error:
        raise type(error)(f"what the run wrote to {repository!r} could not be committed: {error.args[0]}") from error
    return True
