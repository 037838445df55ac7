"""With ``--copy`` the data goes where the entries are going to live, as a whole, and nothing there is replaced."""

from __future__ import annotations

import json
import shlex
import textwrap
from pathlib import Path

import pytest

from kedro_statisfactory import ArtifactDataset
from tests.plugin.migrate.conftest import Moving
from tests.readme.blocks import below
from tests.runs.conftest import KedroProject, project
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

__all__ = ["project"]  # a fixture

CATALOG = textwrap.dedent(
    """\
    total: {type: json.JSONDataset, filepath: data/total.json}
    same: {type: json.JSONDataset, filepath: data/total.json}
    days: {type: partitions.PartitionedDataset, path: data/days, dataset: text.TextDataset}
    model: {type: text.TextDataset, filepath: data/model.txt, versioned: true}
    old: {type: text.TextDataset, filepath: data/old.txt, versioned: true, credentials: key}
    absent: {type: text.TextDataset, filepath: data/absent.txt, versioned: true}
    by_day: {type: text.TextDataset, filepath: 'data/${runtime_params:day}.txt'}
    parts: {type: dask.CSVDataset, filepath: data/parts/*.csv}
    "wide_{number}": {type: json.JSONDataset, filepath: "data/wide/{number}.json"}
    """
)
FILES = {
    "data/total.json": '{"n": 5}',
    "data/days/a": "a",
    "data/days/b/c": "c",
    "data/model.txt/2026-01-01T00.00.00.000Z/model.txt": "first",
    "data/model.txt/2026-01-02T00.00.00.000Z/model.txt": "second",
    "data/old.txt": "from before",
    "data/parts/0.csv": "a\n1\n",
    "data/wide/0.json": '{"n": 0}',
}


def _prepare(moving: Moving, keys: str = "key: {}\n") -> Moving:
    moving.write(CATALOG)
    moving.write(keys, "local/credentials.yml")
    for name, text in FILES.items():
        moving.data(name, text)
    return moving


def test_what_is_copied_to_lakefs_is_one_commit(project: KedroProject) -> None:
    moving = _prepare(Moving(project.path))
    root = f"lakefs://{project.repository}"
    commits = len(project.log())
    output = moving.migrate("--root", root, "--copy", "--dry-run")
    assert f"would copy {project.path}/data/total.json to {root}/data/total.json" in output
    assert len(project.log()) == commits
    assert moving.read() == CATALOG
    assert "9 entries in 1 files are rewritten" in (output := moving.migrate("--root", root, "--copy"))
    commit, *others = project.log()
    assert len(others) == commits
    assert commit.id in project.tags().values()
    assert f"copied {project.path}/data/parts to {root}/data/parts" in output
    assert "The copies are one commit, of the run " in output
    assert "old: not copied, because there is nothing at " in output
    assert "absent: not copied, because there is nothing at " in output
    assert "by_day: not copied, because a parameter of the run says where it is." in output
    listing = project.server.call("GET", f"/repositories/{project.repository}/refs/main/objects/ls?prefix=data/").json()
    paths = {each["path"] for each in listing["results"]}
    assert paths == {
        "data/total.json",
        "data/days/a",
        "data/days/b/c",
        "data/model.txt",
        "data/parts/0.csv",
        "data/wide/0.json",
    }
    entry = project.entry("data/total")
    assert entry.load() == {"n": 5}
    assert moving.read().count(root) == 9
    assert all((project.path / name).read_text() == text for name, text in FILES.items()), "the data stays, too"


def test_what_is_there_is_not_replaced(project: KedroProject) -> None:
    moving = _prepare(Moving(project.path))
    root = f"lakefs://{project.repository}"
    project.write("data/total.json", 1)
    before = project.log()
    output = moving.migrate("--root", root, "--copy", fails=True)
    assert "nothing is changed, because something else is there already, which is not replaced: total " in output
    assert project.log() == before
    assert project.read() == {"total": 0, "data/total": 1}
    assert moving.read() == CATALOG


def test_versions_in_folders_are_copied_to_s3_and_what_is_there_is_not_copied_again(
    moving: Moving, seaweed: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    _prepare(moving)
    (moving.path / "conf/local/credentials.yml").unlink()
    moving.write(CATALOG.replace(", credentials: key", ""))
    before = moving.read()
    output = moving.migrate("--root", f"s3://{bucket}", "--copy")
    assert "old: not copied, because it is a file from before it had versions" in output
    model = moving.catalog().get("model")
    assert isinstance(model, ArtifactDataset)
    assert model.list_versions(full_path=False) == ["2026-01-02T00.00.00.000Z", "2026-01-01T00.00.00.000Z"]
    assert model.load() == "second"
    moving.write(before)
    output = moving.migrate("--root", f"s3://{bucket}", "--copy")
    assert "\ncopied " not in output
    assert f"s3://{bucket}/data/days" in moving.read()
    moving.write(before)
    moving.data("data/days/a", "changed")
    output = moving.migrate("--root", f"s3://{bucket}", "--copy", fails=True)
    assert f"not replaced: days (s3://{bucket}/data/days)." in output
    assert moving.read() == before


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("mode: no-mode\n", "nothing is changed: "),
        ("", "the catalogs are as they were, because data could not be copied"),
    ],
)
def test_what_cannot_be_stored_is_told_before_the_catalog_changes(
    settings: str, why: str, moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving.write(settings, "base/statisfactory.yml")
    _prepare(moving)
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://127.0.0.1:1")
    assert why in moving.migrate("--root", "lakefs://analytics", "--copy", fails=True)
    assert moving.read() == CATALOG


def test_the_commands_and_the_difference_of_the_readme(project: KedroProject) -> None:
    moving = Moving(project.path)
    (difference,) = below("Move a whole catalog", "diff")
    old = [line[1:] for line in difference.text.splitlines() if line[0] != "+"]
    new = [line[1:] for line in difference.text.splitlines() if line[0] != "-"]
    moving.write("\n".join(old))
    moving.data("data/01_raw/shuttles.xlsx", "a file")
    for command in below("Move a whole catalog", "bash")[0].text.splitlines():
        words = shlex.split(command, comments=True)
        assert words[:3] == ["kedro", "statisfactory", "migrate"]
        moving.migrate(*(word.replace("analytics", project.repository) for word in words[3:]))
    assert moving.read().replace(project.repository, "analytics") == "\n".join(new)
    (commit, *_) = project.log()
    assert json.loads(commit.metadata["kedro_outputs"]).keys() == {"shuttles"}
