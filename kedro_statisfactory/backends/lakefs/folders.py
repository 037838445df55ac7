"""Storing folders in lakeFS: an object for each file, and a mark that tells of all of them."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Stat
from kedro_statisfactory.backends.lakefs.objects import LOOKED_FOR, LakeFSObjects
from kedro_statisfactory.backends.lakefs.putting_back import PuttingBack


def send_folder(
    api: LakeFSAPI, objects: LakeFSObjects, back: PuttingBack, path: str, source: Path, consume: bool
) -> None:
    """Store the files of a folder as objects below a path, and remove those that the folder does not have.

    Args:
        api: The server.
        objects: Stores single files.
        back: Tells what there is, on the branch where the folder goes, and puts it back where that has to be.
        path: Of the folder on that branch.
        source: The folder.
        consume: Whether nobody else has a use for its files.
    """
    repository, branch = back.repository, back.branch
    first, last = transfer.files_of(source)
    # On the branch of a run one look tells of all files which of them it has already.
    is_worth_it = any((source / file).stat().st_size >= LOOKED_FOR for file in (*first, *last))
    before = back.look_below(path) if is_worth_it or not back.hidden else {}

    def one(file: Path, _: threading.Event) -> Stat:
        below = f"{path}/{file.as_posix()}"
        look = functools.partial(before.get, below)
        return objects.send(
            repository, branch, below, source / file, lambda: back.after(look), lambda: back.there(look), consume
        )

    sent = transfer.in_parallel(one, first, transfer.UPLOAD_WORKERS)
    sent += [one(file, threading.Event()) for file in last]
    kept = {stat.path for stat in sent}
    found = api.list(repository, branch, f"{path}/")
    # An object at the path itself would be found before the folder.
    api.delete(repository, branch, [path, *(each.path for each in found if each.path not in kept)])
    mark_folder(api, repository, branch, path, sent)


def mark_folder(api: LakeFSAPI, repository: str, branch: str, path: str, found: Iterable[Stat]) -> None:
    """Let two runs that write to a folder conflict: each writes a digest of what is in it then.

    Args:
        api: The server.
        repository: Where.
        branch: Where.
        path: Of the folder.
        found: All that is in it.
    """
    mark = hashlib.sha256(repr(sorted((stat.path, stat.checksum) for stat in found)).encode()).hexdigest()
    api.upload(repository, branch, FOLDER_MARK + path, mark.encode, len(mark))
