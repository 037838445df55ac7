"""Places that no server can stand for here: what fsspec may do there, by file systems of its own kind in memory."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend
from kedro_statisfactory.backends.filesystems import dav
from kedro_statisfactory.errors import (
    BucketNotFound,
    NotSupported,
    TransferError,
    UnknownPrefix,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.plugin.commands.leavings import clean_places
from tests.backends.filesystems.memories import Attic, Dav, ObjectStore, OwnMemory


@pytest.mark.usefixtures("places")
def test_an_object_store_gets_one_put(backend: Backend, source: Path) -> None:
    backend.upload(source=source, fragment=parse("gs://bucket/x"))
    assert ObjectStore.does == ["put /bucket/x"]
    assert backend.get(fragment=parse("gs://bucket/x")) == b"new"


@pytest.mark.usefixtures("places")
def test_webdav_replaces_a_file_by_one_move(backend: Backend, source: Path) -> None:
    for _ in range(2):
        backend.upload(source=source, fragment=parse("webdav://folder/x"))
    assert OwnMemory.does == ["move True", "move True"]
    assert list(OwnMemory.store) == ["/folder/x"]


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("names", [["a;b.csv"], ["a%41#b", "x?/a#c", "a?b"]])
def test_a_name_under_which_webdav_would_store_another_file_is_refused(
    backend: Backend, source: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As WsgiDAV 4.4 does, which undoes the escapes of a name before it takes it apart."""
    move = Dav.move
    monkeypatch.setattr(
        Dav, "move", lambda fs, source, target, overwrite: move(fs, source, re.split("[;?]", target)[0], overwrite)
    )
    for name in names:
        where = parse(f"webdav://folder/{name}")
        if ";" not in name and "?" not in name:
            backend.upload(source=source, fragment=where)
            assert backend.get(fragment=where) == b"new"
            continue
        backend.put(payload=b"of another", fragment=parse(f"webdav://folder/{re.split('[;?]', name)[0]}"))
        before = set(OwnMemory.store)
        with pytest.raises(NotSupported, match=r"under another name: choose names without .+\.$"):
            backend.upload(source=source, fragment=where)
        assert set(OwnMemory.store) == before


@pytest.mark.usefixtures("places")
def test_what_webdav_has_just_locked_is_tried_again(
    backend: Backend, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dav, "_WAITS", (0, 0))
    move = Dav.move
    for times in (2, 20):
        answers: Iterator[Any] = iter([_Locked(), ParseError("junk after document element")] * (times // 2))

        def locked(*arguments: Any, answers: Iterator[Any] = answers, **options: Any) -> None:
            if error := next(answers, None):
                raise error
            move(*arguments, **options)

        monkeypatch.setattr(Dav, "move", locked)
        with pytest.raises(TransferError) if times == 20 else contextlib.nullcontext():
            backend.upload(source=source, fragment=parse("webdav://folder/x"))
    assert list(OwnMemory.store) == ["/folder/x"]


class _Locked(Exception):
    status_code = 423


@pytest.mark.usefixtures("places")
def test_a_bucket_that_is_missing_is_no_missing_object(backend: Backend, source: Path) -> None:
    with pytest.raises(BucketNotFound, match=r"no place for 'gs://other/x'"):
        backend.upload(source=source, fragment=parse("gs://other/x"))


@pytest.mark.usefixtures("places")
def test_marks_of_folders_are_no_files(backend: Backend, source: Path, tmp_path: Path) -> None:
    tree = parse("gs://bucket/tree")
    for name in ("a", "sub/b"):
        backend.upload(source=source, fragment=parse(f"gs://bucket/tree/{name}"))
    found = list(backend.list(fragment=tree))
    assert [(info.path, info.modified, info.checksum) for info in found] == [
        (name, datetime(2026, 11, 26, tzinfo=timezone.utc), '"an-etag"') for name in ("a", "sub/b")
    ]
    backend.download(target=tmp_path / "tree", fragment=tree)
    assert (tmp_path / "tree/sub/b").read_bytes() == b"new"
    backend.delete(fragment=tree)
    assert not backend.exists(fragment=tree)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("is_broken", [False, True])
def test_folders_may_be_made_by_another_one_at_the_same_moment(
    backend: Backend, source: Path, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    monkeypatch.setattr(Attic, "is_slow", True)
    monkeypatch.setattr(Attic, "is_broken", is_broken)
    where = parse("attic://shelf/folder/x")
    if is_broken:
        with pytest.raises(TransferError, match="another one was faster"):
            backend.upload(source=source, fragment=where)
    else:
        backend.upload(source=source, fragment=where)
        assert backend.get(fragment=where) == b"new"


@pytest.mark.usefixtures("places")
def test_the_old_file_comes_back_where_the_new_one_cannot_take_its_place(
    backend: Backend, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = parse("attic://shelf/x")
    backend.put(payload=b"old", fragment=where)
    Attic.does.clear()
    monkeypatch.setattr(Attic, "is_broken", True)
    with pytest.raises(TransferError, match="no such rename"):
        backend.upload(source=source, fragment=where)
    assert Attic.does == ["mv"] * 8, "tried, aside, tried again, back; and once more by a new connection"
    assert backend.get(fragment=where) == b"old"
    assert list(OwnMemory.store) == ["/shelf/x"]


@pytest.mark.usefixtures("places")
def test_a_place_that_says_nothing_of_what_fails_is_looked_at(
    backend: Backend, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fsspec's class for Jupyter is, which looks at no answer."""
    where, move = parse("attic://shelf/x"), Attic.mv

    def quietly(file_system: Attic, source: str, target: str) -> None:
        with contextlib.suppress(OSError):
            move(file_system, source, target)

    monkeypatch.setattr(Attic, "mv", quietly)
    backend.put(payload=b"old", fragment=where)
    backend.upload(source=source, fragment=where)
    assert backend.get(fragment=where) == b"new"
    assert list(OwnMemory.store) == ["/shelf/x"]
    monkeypatch.setattr(Attic, "pipe_file", lambda *_: None)
    with pytest.raises(BucketNotFound):
        backend.put(payload=b"newer", fragment=where)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("name", ["x", "x" * 250])
def test_an_old_file_that_a_killed_save_has_moved_aside_is_kept(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where, remove = parse(f"attic://shelf/{name}"), Attic.rm_file
    backend.put(payload=b"old", fragment=where)
    monkeypatch.setattr(Attic, "rm_file", lambda fs, path: None if "statis" in path else remove(fs, path))
    monkeypatch.setattr(Attic, "mv", _killed_in_the_middle(Attic.mv))
    with pytest.raises(SystemExit):
        backend.put(payload=b"new", fragment=where)
    monkeypatch.setattr(Attic, "rm_file", remove)
    monkeypatch.setattr(Attic, "ls", _ls_with_times)
    assert not backend.exists(fragment=where)
    is_told = len(name) < 250
    clean_places([ArtifactDataset(filepath=f"attic://shelf/{name}")], grace=24, dry_run=False)
    assert ("all that is left of 'x'" in capsys.readouterr().out) is is_told
    assert [fs_file.getvalue() for fs_file in OwnMemory.store.values()] == [b"old"] * is_told


def _ls_with_times(file_system: Attic, path: str, **_: Any) -> Any:
    return [{**info, "updated": datetime(2026, 1, 1)} for info in MemoryFileSystem.ls(file_system, path, detail=True)]


def _killed_in_the_middle(move: Any) -> Any:
    moved: list[str] = []

    def moves(file_system: Attic, source: str, target: str) -> None:
        if moved:
            raise SystemExit
        move(file_system, source, target)
        moved.append(source)

    return moves


def test_a_package_that_is_missing_is_told_before_anything_runs() -> None:
    entry = ArtifactDataset(filepath="smb://host/share/x")
    with pytest.raises(UnknownPrefix, match=r"E0202.*smb://.*needs a package.*smbprotocol"):
        entry.check_place(is_written=False)


@pytest.mark.usefixtures("places")
def test_what_a_file_system_cannot_do_is_told(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(Attic, "pipe_file", missing)
    with pytest.raises(NotSupported, match=r"cannot do that at 'attic://shelf/x'\.$"):
        backend.put(payload=b"x", fragment=parse("attic://shelf/x"))


@pytest.mark.usefixtures("places")
def test_a_full_disk_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ArtifactDataset(filepath="attic://shelf/x").save(b"x")
    monkeypatch.setattr(Attic, "get_file", full)
    with pytest.raises(DatasetError, match="TMPDIR"):
        ArtifactDataset(filepath="attic://shelf/x", dataset="text.TextDataset").load()
    monkeypatch.setattr(Attic, "pipe_file", full)
    with pytest.raises(DatasetError, match=r"E0300.*attic://shelf/x' failed.*No space left"):
        ArtifactDataset(filepath="attic://shelf/x").save(b"y")


@pytest.mark.usefixtures("places")
def test_a_format_that_fails_leaves_what_was_there() -> None:
    entry = ArtifactDataset(filepath="gs://bucket/x.json", dataset="json.JSONDataset")
    entry.save({"rows": 1})
    with pytest.raises(DatasetError):
        entry.save({"rows": object()})
    assert entry.load() == {"rows": 1}


def _content(url: str, connection: Any) -> None:
    connection.send(ArtifactDataset(filepath=url).exists())


def test_the_memory_of_another_process_is_another_one() -> None:
    ArtifactDataset(filepath="memory://box/of-this-process").save(b"x")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_content, args=("memory://box/of-this-process", theirs))
    process.start()
    assert ours.poll(60)
    assert ours.recv() is False
    process.join(60)
    MemoryFileSystem().rm_file("/box/of-this-process")
