"""What the backend of lakeFS does for engines that read and write by themselves, through the S3 gateway."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends.engines import S3Access, Saving
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.gateway import LakeFSGateway
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.backends.lakefs.paths import split
from kedro_statisfactory.backends.lakefs.refs import LakeFSRefs
from kedro_statisfactory.backends.refusals import Refusals
from kedro_statisfactory.errors import BackendUnreachable
from kedro_statisfactory.location import unparse


class EnginesOfLakeFS(Refusals):
    """Verbs of :class:`~kedro_statisfactory.backends.lakefs.backend.LakeFSBackend`."""

    _api: LakeFSAPI
    _refs: LakeFSRefs
    _gateway: LakeFSGateway
    _verify: Callable[[Mapping[str, Any]], bool]

    def check_engine(self, *, fragment: ParseResult) -> S3Access:
        """The gateway, which has to know these credentials; that is asked once per process.

        Raises:
            BackendUnreachable: It is off, or something on the way lets nobody through.
        """
        repository, path = split(fragment)
        access = self._gateway.access(fragment, repository, "", path)
        if not self._gateway.answers(repository):
            raise BackendUnreachable(
                f"lakeFS's S3 gateway does not answer at {access.endpoint_url}, or does not know the credentials of "
                f"{unparse(fragment)!r}, so that no engine reaches it: name its host by `gateway` in "
                "statisfactory.yml, or take `native` away."
            )
        return access

    def engine_access(
        self, *, fragment: ParseResult, saving: Saving | None = None, lake_ref: str | None = None, **kwargs: Any
    ) -> S3Access:
        """A place at lakeFS's S3 gateway: on the branch where a save goes, or at the ref at which a load reads."""
        repository, path = split(fragment)
        if saving is None:
            self._verify(kwargs)
            ref = self._refs.read(repository, path, lake_ref, lambda ref: self._gateway.look(repository, ref, path))
            access = self._gateway.access(fragment, repository, ref, path)
            # A branch that is reset, say: a run reads at a commit, and what it has written itself.
            return dataclasses.replace(access, may_change=self._refs.pin(repository) is None)
        self._refuse_unknown(kwargs, ("lake_ref",))
        branches: list[str] = []

        def prepare(branch: str) -> None:
            if not self._refs.writes_are_hidden(repository, lake_ref):
                self._api.branch(repository, branch)
            if saving == "replace":
                self._gateway.clear(repository, branch, path)
            branches.append(branch)

        self._refs.write(repository, path, lake_ref, prepare)
        return self._gateway.access(fragment, repository, branches[-1], path)

    def serves_scans(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether this process reaches the S3 gateway, which is asked once."""
        return self._gateway.is_open(split(fragment)[0])

    def end_engine_save(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> bool:
        """Drop the markers of what an engine has written, and let the run know of the rest, by one listing."""
        repository, path = split(fragment)
        found: list[Stat] = []
        self._refs.write(
            repository, path, lake_ref, lambda branch: found.extend(self._gateway.end(repository, branch, path))
        )
        return bool(found)
