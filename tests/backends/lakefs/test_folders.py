"""Folders on lakeFS, which go up and down whole; what is listed, deleted and told of objects."""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import requests
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, LONGEST_PATH
from kedro_statisfactory.errors import Conflict, InvalidURL, ObjectNotFound, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import commit, files_in, make_files, on, uncommitted, write
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


def test_a_folder_goes_up_and_down_whole(lakefs_server: LakeFSServer, repository: str, tmp_path: Path) -> None:
    names = [*(f"part-{number}" for number in range(8)), "deep/er/ü ?#%", "_log/0.json"]
    source = make_files(tmp_path / "source", *names)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    where = parse(f"lakefs://{repository}/tree")
    backend.upload(source=source, fragment=where)
    backend.download(target=tmp_path / "target", fragment=where)
    assert files_in(tmp_path / "target") == files_in(source)
    assert sorted(info.path for info in backend.list(fragment=where)) == sorted(names)


def test_files_that_say_that_the_rest_is_complete_go_last(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    upload = LakeFSAPI.upload

    def record(self: LakeFSAPI, repository: str, branch: str, path: str, *more: Any) -> Any:
        sent.append(path)
        return upload(self, repository, branch, path, *more)

    monkeypatch.setattr(LakeFSAPI, "upload", record)
    source = make_files(tmp_path / "source", "_delta_log/1.json", "_delta_log/0.json", "z", "a", "_SUCCESS")
    on(lakefs_local, "main").upload(source=source, fragment=parse(f"lakefs://{local}/tree"))
    assert sorted(sent[:2]) == ["tree/a", "tree/z"]
    assert sent[2:5] == ["tree/_SUCCESS", "tree/_delta_log/0.json", "tree/_delta_log/1.json"]
    assert sent[5:] == [FOLDER_MARK + "tree"]


def test_what_a_new_folder_does_not_have_is_removed(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    for name in ("tree/old", "tree/deep/old", "tree/kept", "tree-too/x"):
        write(lakefs_local, local, name)
    source = make_files(tmp_path / "source", "new", "kept")
    backend = on(lakefs_local, "main")
    backend.upload(source=source, fragment=parse(f"lakefs://{local}/tree"))
    assert [info.path for info in backend.list(fragment=parse(f"lakefs://{local}/tree"))] == ["kept", "new"]
    assert backend.exists(fragment=parse(f"lakefs://{local}/tree-too/x"))


def test_a_folder_on_a_new_branch_has_nothing_of_the_source(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    write(lakefs_local, local, "tree/old")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    feature.upload(source=make_files(tmp_path / "source", "a", "b"), fragment=parse(f"lakefs://{local}/tree"))
    assert [info.path for info in feature.list(fragment=parse(f"lakefs://{local}/tree"))] == ["a", "b"]
    assert on(lakefs_local, "main").exists(fragment=parse(f"lakefs://{local}/tree/old"))


def test_a_folder_leaves_a_mark_that_changes_when_anything_in_it_does(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    backend = on(lakefs_local, "main")
    where, mark = parse(f"lakefs://{local}/tree"), f"{FOLDER_MARK}tree"
    marks = []
    for names in (("a",), ("a", "b"), ("a", "b", "b2"), ("a", "b", "b2")):
        backend.upload(source=make_files(tmp_path / "source", *names), fragment=where)
        marks.append(backend.api.stat(local, "main", mark).checksum)
    assert len(set(marks)) == 3
    assert marks[2] == marks[3], "the same files are no change"
    assert all("statisfactory" not in info.path for info in backend.list(fragment=where))
    backend.delete(fragment=where)
    with pytest.raises(ObjectNotFound):
        backend.api.stat(local, "main", mark)


def test_where_marks_are_kept_there_are_no_entries(lakefs_local: LakeFSServer, local: str) -> None:
    for path in (".statisfactory", ".statisfactory/x"):
        with pytest.raises(InvalidURL, match="which this package uses: choose another"):
            on(lakefs_local, "main").put(payload=b"", fragment=parse(f"lakefs://{local}/{path}"))
    on(lakefs_local, "main").put(payload=b"", fragment=parse(f"lakefs://{local}/.statisfactory-of-mine"))


def test_an_empty_folder_cannot_be_stored(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    (tmp_path / "source/empty").mkdir(parents=True)
    with pytest.raises(TransferError, match="no files"):
        on(lakefs_local, "main").upload(source=tmp_path / "source", fragment=parse(f"lakefs://{local}/tree"))


def test_a_long_path_within_a_folder_is_refused(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    source = make_files(tmp_path / "source", "x" * 200)
    for path in ("y" * 1000, "y" * (LONGEST_PATH - len(FOLDER_MARK) + 1)):
        with pytest.raises(InvalidURL, match=f"bytes, and lakeFS allows {LONGEST_PATH}: shorten it"):
            on(lakefs_local, "main").upload(source=source, fragment=parse(f"lakefs://{local}/{path}"))
    assert uncommitted(lakefs_local, local) == []


def test_a_folder_takes_the_place_of_an_object(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/x")
    backend.put(payload=b"an object", fragment=where)
    backend.upload(source=make_files(tmp_path / "source", "part-0"), fragment=where)
    backend.download(target=tmp_path / "x", fragment=where)
    assert list(files_in(tmp_path / "x")) == ["part-0"]


def test_what_is_read_while_its_branch_is_made_is_there(
    lakefs_local: LakeFSServer, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lakefs_local, local, "x")
    commit(lakefs_local, local)
    backend, branch = on(lakefs_local, "new"), LakeFSAPI.branch

    def made_just_now(self: LakeFSAPI, repository: str, name: str) -> Any:
        with contextlib.suppress(Conflict):
            self.create_branch(repository, name, "main")
        return branch(self, repository, name)

    monkeypatch.setattr(LakeFSAPI, "branch", made_just_now)
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x"
    assert not backend.exists(fragment=parse(f"lakefs://{local}/y"))
    with pytest.raises(ObjectNotFound, match="at 'new'"):
        backend.get(fragment=parse(f"lakefs://{local}/y"))


def test_markers_of_other_tools_are_no_files(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    write(lakefs_local, local, "tree/x")
    for marker in ("tree/sub/", "tree/sub_$folder$", "marked/"):
        write(lakefs_local, local, marker, b"")
    backend = on(lakefs_local, "main")
    where = parse(f"lakefs://{local}/tree")
    backend.download(target=tmp_path / "tree", fragment=where)
    assert list(files_in(tmp_path / "tree")) == ["x"]
    assert [info.path for info in backend.list(fragment=where)] == ["x"]
    with pytest.raises(ObjectNotFound):
        backend.download(target=tmp_path / "marked", fragment=parse(f"lakefs://{local}/marked"))
    backend.delete(fragment=where)
    assert sorted(uncommitted(lakefs_local, local)) == ["marked/"]


def test_a_path_that_would_leave_the_folder_is_refused(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    for name in ("tree/ok", "tree/a/../../../escaped"):
        write(lakefs_local, local, name)
    with pytest.raises(InvalidURL):
        on(lakefs_local, "main").download(target=tmp_path / "tree", fragment=parse(f"lakefs://{local}/tree"))
    assert not list(tmp_path.parent.glob("escaped"))


def test_many_objects_are_listed_and_deleted_page_by_page(
    lakefs_local: LakeFSServer, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = on(lakefs_local, "main")
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda number: write(lakefs_local, local, f"tree/{number:02}"), range(25)))
    monkeypatch.setattr(requests, "PAGE", 10)
    where = parse(f"lakefs://{local}/tree")
    assert [info.path for info in backend.list(fragment=where)] == [f"{number:02}" for number in range(25)]
    backend.delete(fragment=where)
    assert not backend.exists(fragment=where)


def test_stat_tells_size_time_and_checksum(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x", b"12345")
    info = on(lakefs_local, "main").stat(fragment=parse(f"lakefs://{local}/x"))
    assert (info.path, info.size, info.checksum) == ("", 5, hashlib.md5(b"12345").hexdigest())
    assert info.modified is not None
    assert info.modified.tzinfo is not None
    with pytest.raises(ObjectNotFound):
        on(lakefs_local, "main").stat(fragment=parse(f"lakefs://{local}/none"))


def test_versions_are_the_runs_and_commits_that_changed_an_entry(lakefs_local: LakeFSServer, local: str) -> None:
    made = []
    for number, path in enumerate(("x", "tree/a", "x", "tree/b")):
        write(lakefs_local, local, path, str(number).encode())
        made.append(commit(lakefs_local, local, **({"kedro_run_id": f"run-{number}"} if number else {})))
    for branch in ("main", "feature"):
        backend = on(lakefs_local, branch)
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/x"))) == ["run-2", made[0]]
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/tree"))) == ["run-3", "run-1"]
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/none"))) == []
