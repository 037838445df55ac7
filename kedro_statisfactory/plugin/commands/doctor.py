"""``doctor``: each thing that must hold for a run to work."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kedro_statisfactory.plugin.commands.output import (
    NO,
    answers,
    env_option,
    json_option,
    one_line,
    print_json,
    show,
    table,
    words,
)
from kedro_statisfactory.plugin.places import entries_of

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs.health import Check


@click.command()
@env_option
@json_option
@click.pass_context
@answers
def doctor(context: click.Context, env: str | None, as_json: bool) -> None:
    """Look at each thing that must hold for a run to work, and say how to mend what does not; shows no secret."""
    from kedro_statisfactory.runs.health import Check
    from kedro_statisfactory.runs.redaction import USER_OF_URL, without_tokens

    metadata: ProjectMetadata = context.obj
    left_out: list[Check] = []
    entries = entries_of(metadata, env, lambda name, error: left_out.append(Check(f"entry {name}", False, str(error))))
    checks = [*left_out, *_all(entries)]

    def told(text: str) -> str:
        for _, entry in entries:
            try:
                text = entry.backend.redacted(text)
            except Exception:  # credentials that cannot be read have nothing that could be shown
                continue
        return one_line(USER_OF_URL.sub("<redacted>@", without_tokens(text)))

    if as_json:
        print_json([{"what": each.what, "good": each.is_good, "told": told(each.told)} for each in checks])
    else:
        rows = [
            (words("good", "green") if each.is_good else words("wrong", "bold red"), each.what, told(each.told))
            for each in checks
        ]
        show(table(["", "what", "found"], rows))
    if not all(each.is_good for each in checks):
        context.exit(NO)


def _all(entries: list[tuple[str, ArtifactDataset]]) -> Iterator[Check]:
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.errors import StatisfactoryError
    from kedro_statisfactory.project import current_project
    from kedro_statisfactory.runs import health

    try:
        yield health.Check("settings", True, f"mode {current_project().settings.mode}")
        yield from health.of_project(current_project())
    except StatisfactoryError as error:
        yield health.Check("settings", False, str(error))
        return
    servers: set[str] = set()
    looked: dict[tuple[str, str], set[object]] = {}  # with which keys, by the place
    for name, entry in entries:
        check = _of_entry(name, entry)
        yield check
        backend = entry.backend
        if isinstance(backend, LakeFSBackend) and check.is_good:
            host, repository = backend.api.host, backend.split(entry.location)[0]
            if host not in servers:
                servers.add(host)
                yield from health.of_server(backend)
            place, look = (host, repository), functools.partial(health.of_repository, (backend, repository))
        elif entry.location.scheme in ("s3", "s3a", "s3n") and check.is_good:
            place, look = ("", bucket := entry.location.netloc), functools.partial(_of_bucket, bucket, entry)
        else:
            continue
        keys = looked.setdefault(place, set())
        if (own := _keys_of(entry)) not in keys:
            whose = f", by the keys of {name}" if keys else ""
            keys.add(own)
            yield from (replace(each, what=f"{each.what}{whose}") for each in look())


def _keys_of(entry: ArtifactDataset) -> object:
    """What tells the credentials of an entry from others: what one set of them may do, another may not."""
    return entry.backend._session.connection("doctor", object)


def _of_bucket(bucket: str, entry: ArtifactDataset) -> Iterator[Check]:
    from kedro_statisfactory.runs.health import tried

    yield tried(f"bucket {bucket}", functools.partial(_reached, entry))


def _reached(entry: ArtifactDataset) -> str:
    is_there = entry.backend.exists(fragment=entry.location)
    return f"it answers; there is {'something' if is_there else 'nothing'} at {entry.location.path}"


def _of_entry(name: str, entry: ArtifactDataset) -> Check:
    """Look at the prefix, the options, the credentials and the format of an entry."""
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.runs.health import Check

    try:
        entry.check_options()
        entry.check_place(is_written=False)
        if isinstance(entry.backend, LakeFSBackend):
            _ = entry.backend.api.host
        entry.check_format(is_written=False)
    except Exception as error:  # whatever a format of somebody else's raises
        return Check(f"entry {name}", False, str(error))
    return Check(f"entry {name}", True, "prefix, options and format are fine")
