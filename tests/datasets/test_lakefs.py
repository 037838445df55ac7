"""Entries on lakeFS: versions are refs, one request does, and what cannot work says why."""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kedro.io import DataCatalog, DatasetError

from kedro_statisfactory.backends import http
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.project import Project, announce
from kedro_statisfactory.session import Session
from tests.servers.lakefs import LakeFSServer
from tests.servers.process import free_ports

SECRET = "a-very-secret-value"


@pytest.fixture(autouse=True)
def in_a_run(on_main: Project, tmp_path: Path) -> None:
    """Entries with versions are saved in runs only, and know a run by its journal."""
    announce(lambda: dataclasses.replace(on_main, journal=tmp_path / "journal"))


def _config(server: LakeFSServer, url: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "kedro_statisfactory.ArtifactDataset",
        "filepath": url,
        "dataset": "json.JSONDataset",
        "credentials": server.credentials,
        **more,
    }


def _catalog(server: LakeFSServer, repository: str, pinned: str | None = None, **more: Any) -> DataCatalog:
    """A catalog of the one entry ``x``."""
    config = _config(server, f"lakefs://{repository}/folder/x.json", **{"versioned": True, **more})
    return DataCatalog.from_config({"x": config}, load_versions={"x": pinned} if pinned else None)


def _commit(server: LakeFSServer, repository: str, branch: str = "main") -> str:
    """Commit what was saved; gives the id of the commit."""
    where = f"/repositories/{repository}/branches/{branch}/commits"
    return str(server.call("POST", where, {"message": "a test"}).json()["id"])


def _tag(server: LakeFSServer, repository: str, name: str, ref: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/tags", {"id": name, "ref": ref})


def _branch(server: LakeFSServer, repository: str, name: str, source: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/branches", {"name": name, "source": source})


def _paths(server: LakeFSServer, repository: str, ref: str = "main") -> list[str]:
    listing = server.call("GET", f"/repositories/{repository}/refs/{ref}/objects/ls").json()
    return [found["path"] for found in listing["results"]]


@pytest.mark.parametrize("versioned", [False, True])
def test_any_ref_is_a_version_and_makes_no_folder(lakefs_server: LakeFSServer, versioned: bool) -> None:
    repository = lakefs_server.new_repository()
    catalog = _catalog(lakefs_server, repository, versioned=versioned)
    catalog.save("x", {"n": 1})
    first = _commit(lakefs_server, repository)
    _tag(lakefs_server, repository, "v1")
    _branch(lakefs_server, repository, "experiment")
    catalog.save("x", {"n": 2})
    assert catalog.load("x") == {"n": 2}
    for version in (first, first[:12], "v1", "experiment", "main~0"):
        assert catalog.load("x", version=version) == {"n": 1}, version
    assert catalog.load("x", version="main") == {"n": 2}
    assert catalog.load("x") == {"n": 2}, "a load of another version changes nothing"
    assert _paths(lakefs_server, repository) == ["folder/x.json"]


def test_load_versions_pin_a_ref(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    _catalog(lakefs_local, repository).save("x", {"n": 1})
    _commit(lakefs_local, repository)
    _tag(lakefs_local, repository, "v1")
    _catalog(lakefs_local, repository).save("x", {"n": 2})
    pinned = _catalog(lakefs_local, repository, "v1")
    assert pinned.load("x") == {"n": 1}
    assert pinned.exists("x")
    with pytest.warns(UserWarning, match=r"load version 'v1'|did not match"):
        pinned.save("x", {"n": 3})
    assert pinned.load("x") == {"n": 1}
    assert _catalog(lakefs_local, repository).load("x") == {"n": 3}


def test_a_pinned_version_goes_before_the_ref_in_load_args(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    _branch(lakefs_local, repository, "other")
    _catalog(lakefs_local, repository, versioned=False, save_args={"lake_ref": "other"}).save("x", {"n": 1})
    _catalog(lakefs_local, repository).save("x", {"n": 2})
    reading = _catalog(lakefs_local, repository, load_args={"lake_ref": "other"})
    assert reading.load("x") == {"n": 1}
    assert reading.load("x", version="main") == {"n": 2}


def test_versions_are_the_commits_that_changed_the_object(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    catalog = _catalog(lakefs_local, repository)
    entry: Any = catalog.get("x")
    assert entry.list_versions() == []
    commits = []
    for number in (1, 2):
        catalog.save("x", {"n": number})
        commits.append(_commit(lakefs_local, repository))
        other = f"/repositories/{repository}/branches/main/objects?path=other-{number}"
        lakefs_local.call("POST", other, body=b"another object")
        _commit(lakefs_local, repository)
    assert entry.list_versions() == commits[::-1]
    assert entry.list_versions(full_path=False) == commits[::-1]
    assert [catalog.load("x", version=version) for version in entry.list_versions()] == [{"n": 2}, {"n": 1}]


@pytest.mark.parametrize("load_ref", [None, "v1"])
def test_what_is_appended_to_another_branch_is_added_to_what_is_there(
    lakefs_local: LakeFSServer, load_ref: str | None
) -> None:
    repository = lakefs_local.new_repository()
    text = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "a"}}}
    main = _catalog(lakefs_local, repository, dataset=text, versioned=False)
    main.save("x", "one ")
    _commit(lakefs_local, repository)
    _tag(lakefs_local, repository, "v1")
    _branch(lakefs_local, repository, "kept")
    refs: dict[str, Any] = {"save_args": {"lake_ref": "kept"}}
    if load_ref:
        refs["load_args"] = {"lake_ref": load_ref}
    kept = _catalog(lakefs_local, repository, dataset=text, versioned=False, **refs)
    kept.save("x", "two ")
    kept.save("x", "three")
    read = _catalog(lakefs_local, repository, "kept", dataset=text)
    assert (read.load("x"), main.load("x"), kept.load("x")) == ("one two three", "one ", "one ")


def test_an_unknown_version_is_named(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    catalog = _catalog(lakefs_local, repository)
    assert not catalog.exists("x")
    catalog.save("x", {"n": 1})
    assert catalog.exists("x")
    says = r"E0703.*no branch, tag or commit 'no-such-version'"
    with pytest.raises(DatasetError, match=f"x: .*{says}"):
        catalog.load("x", version="no-such-version")
    with pytest.raises(DatasetError, match=says):
        _catalog(lakefs_local, repository, "no-such-version").exists("x")


def test_a_version_without_the_object_says_so(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    _tag(lakefs_local, repository, "empty")
    catalog = _catalog(lakefs_local, repository)
    catalog.save("x", {"n": 1})
    with pytest.raises(DatasetError, match=r"x: .*E0301.*no 'folder/x\.json' in .* at 'empty'"):
        catalog.load("x", version="empty")
    assert not _catalog(lakefs_local, repository, "empty").exists("x")


@pytest.fixture
def requests_sent(lakefs_server: LakeFSServer) -> Iterator[list[str]]:
    """Method and last part of the path of all that the one client of the server's credentials sends."""
    sent: list[str] = []
    pool = lakefs_client(Session(lakefs_server.credentials)).rest_client.pool_manager
    request = pool.request

    def note(method: str, url: str, **more: Any) -> Any:
        sent.append(f"{method} {urlsplit(url).path.rpartition('/')[2]}")
        return request(method, url, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "request", note)
        yield sent


@pytest.mark.parametrize("versioned", [False, True])
def test_warm_each_load_and_exists_is_one_request_and_a_save_outside_of_runs_two(
    lakefs_server: LakeFSServer, repository: str, requests_sent: list[str], versioned: bool
) -> None:
    catalog = _catalog(lakefs_server, repository, versioned=versioned)
    catalog.save("x", {"n": 0})
    for ask, sent in (
        (lambda: catalog.save("x", {"n": 1}), ["GET stat", "POST objects"]),
        (lambda: catalog.load("x"), ["GET objects"]),
        (lambda: catalog.exists("x"), ["GET stat"]),
        (lambda: catalog.load("x", version="main"), ["GET objects"]),
    ):
        requests_sent.clear()
        ask()
        assert requests_sent == sent


def test_the_count_of_requests_sees_one_too_many(
    lakefs_server: LakeFSServer, repository: str, requests_sent: list[str]
) -> None:
    """The negative control of the test above: the first save also asks whether the folder is a branch or tag."""
    _catalog(lakefs_server, repository).save("x", {"n": 0})
    assert requests_sent == ["GET folder", "GET stat", "POST objects"]


def test_a_name_may_be_longer_than_a_file_system_allows(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    name = f"{'ü' * 400}.json"
    catalog = DataCatalog.from_config({"x": _config(lakefs_local, f"lakefs://{repository}/folder/{name}")})
    catalog.save("x", {"n": 1})
    assert catalog.load("x") == {"n": 1}
    assert _paths(lakefs_local, repository) == [f"folder/{name}"]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("ops", "url", "more", "says"),
    [
        ("load save exists", "lakefs://no-such-repository/x.json", {}, r"E0701.*no repository .no-such.*: create it"),
        ("load save exists", "lakefs://{}/x.json", {"credentials": None}, r"E0402.*`lakectl config`"),
        ("load save exists", "lakefs://{}/x.json", {"wrong": "key"}, r"E0302.*check the credentials"),
        ("load save exists", "lakefs://{}/x.json", {"wrong": "endpoint"}, r"E0304.*NewConnectionError.*check endpoint"),
        ("save", "lakefs://{}/x.json", {"save_args": {"lake_ref": "v1"}}, r"E0704.*'v1' is a tag.*write to a branch"),
        ("save", "lakefs://{}/x.json", {"save_args": {"lake_ref": "none"}}, r"E0702.*no branch 'none'"),
        ("load", "lakefs://{}/x.json", {"load_args": {"lake_ref": "none"}}, r"E0703.*no branch, tag or commit 'none'"),
        ("save", "lakefs://{}/main/x.json", {}, r"E0707.*'main' is a branch or tag.*write lakefs://[-\w]+/x\.json"),
        ("load", "lakefs://{}/main/x.json", {}, r"E0301.*'main' is a branch or tag.*write lakefs://[-\w]+/x\.json"),
        ("load", "lakefs://{}/missing.json", {}, r"E0301.*no 'missing\.json' in .* at 'main'"),
    ],
)
def test_what_cannot_work_says_why_and_what_to_do(
    lakefs_local: LakeFSServer,
    ops: str,
    url: str,
    more: dict[str, Any],
    says: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    repository = lakefs_local.new_repository()
    _tag(lakefs_local, repository, "v1")
    wrong = {
        "key": {**lakefs_local.credentials, "secret_access_key": SECRET},
        "endpoint": {
            **lakefs_local.credentials,
            "secret_access_key": SECRET,
            "endpoint": f"http://127.0.0.1:{free_ports(1)[0]}",
        },
    }
    more = {"credentials": wrong[more["wrong"]]} if "wrong" in more else more
    catalog = DataCatalog.from_config({"my_entry": _config(lakefs_local, url.format(repository), **more)})
    calls: dict[str, Callable[[], object]] = {
        "load": lambda: catalog.load("my_entry"),
        "save": lambda: catalog.save("my_entry", {"n": 1}),
        "exists": lambda: catalog.exists("my_entry"),
    }
    shown = []
    for op in ops.split():
        with pytest.raises(DatasetError, match=f"(?s){says}") as caught:
            calls[op]()
        if op != "exists":  # Kedro's own check does not know the name
            assert str(caught.value).startswith("my_entry: ")
        shown.append("".join(traceback.format_exception(caught.value)))
    shown += [caplog.text, *capsys.readouterr()]
    assert not [text for text in shown if SECRET in text or lakefs_local.secret_key in text]
    assert _paths(lakefs_local, repository) == []


def test_a_protected_branch_is_not_written_to(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    lakefs_local.call("PUT", f"/repositories/{repository}/settings/branch_protection", [{"pattern": "main"}])
    with pytest.raises(DatasetError, match=r"x: .*E0302.*the branch is protected"):
        _catalog(lakefs_local, repository).save("x", {"n": 1})
    assert _paths(lakefs_local, repository) == []
