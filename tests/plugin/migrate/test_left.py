"""What cannot move is left as it is and named; bad input is one error, and nothing is changed."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from kedro.config import AbstractConfigLoader

from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.plugin.migrate import writing
from tests.plugin.migrate.conftest import OURS, Moving

pytestmark = pytest.mark.once

# An entry, and why it is left.
LEFT = {
    "no_type: {filepath: data/x.txt}": "it has no `type`",
    "no_path: {type: text.TextDataset}": "takes no `filepath`",
    "no_text: {type: text.TextDataset, filepath: 1}": "its `filepath` is no text",
    "unknown: {type: text.NoDataset, filepath: x}": "its class is not known here",
    "not_there: {type: no_package.NoDataset, filepath: x}": "its class is not known here",
    "word: {type: Nothing, filepath: x}": "its class is not known here",
    "takes_none: {type: MemoryDataset, filepath: x}": "MemoryDataset takes no `filepath`",
    '"{kind}_x": {type: "text.{kind}", filepath: x}': "its `type` is filled in later",
    "ibis_: {type: ibis.FileDataset, filepath: x, credentials: y}": "its `credentials` are those of a database",
    "layer_: {type: text.TextDataset, filepath: x, layer: raw, metadata: {a: 1}}": "it has `layer` and `metadata`",
    "mixed: {type: text.TextDataset, filepath: x, fs_args: {auto_mkdir: true, open_args_save: {}}}": "its `fs_args`",
    "option: {type: text.TextDataset, filepath: x, sep: a}": "as an ArtifactDataset it would not work",
    "odd_prefix: {type: text.TextDataset, filepath: 'no-place://x/y'}": "as an ArtifactDataset it would not work",
    "comment: {type: text.TextDataset, # of text\n  filepath: x}": "it has a comment between its braces",
    "inline:\n  <<: {type: pandas.CSVDataset}\n  filepath: x\n  load_args: {}": "a mapping that has no anchor",
    "folded: {type: partitions.PartitionedDataset, dataset: text.TextDataset, path: &p x/}\nfolded_too: "
    "{type: partitions.PartitionedDataset, dataset: text.TextDataset, path: *p}": "its path is no text on one line",
    "_a: &a {type: json.JSONDataset}\n_b: &b {<<: *a, save_args: {}}\nchain: {<<: *b, filepath: x}": "another template",
    "? odd\n: ? type\n  : text.TextDataset\n  ? filepath\n  : x": "something stands in front of one of its keys",
    "used: &u {type: text.TextDataset, filepath: x}\nusing: {type: CachedDataset, dataset: *u}": "change using",
    "_d: {a: &d {type: pandas.CSVDataset}}\nin: {<<: *d, filepath: x}\nout: {<<: *d, table: x}": "lines with out",
    "path_of: {type: text.TextDataset, filepath: x}\nby: {type: text.TextDataset, filepath: '${path_of.type}'}": (
        "would change by as well"
    ),
    "lent: {type: json.JSONDataset, filepath: x, save_args: {}}\nby_: {type: MemoryDataset, a: '${lent.save_args}'}": (
        "the catalog of the environment 'local' cannot be resolved"
    ),
}


@pytest.mark.once
def test_what_cannot_move_is_left_and_named(moving: Moving) -> None:
    for number, text in enumerate(LEFT):
        moving.write(f"{text}\nfine_{number}: {{type: text.TextDataset, filepath: x}}", f"base/catalog_{number}.yml")
    moving.write('{"in_json": {"type": "text.TextDataset", "filepath": "x"}}', "base/catalog.json")
    moving.write("only_text: MemoryDataset\n", "base/catalog_names/more.yaml")
    moving.write("# nothing\n", "base/catalog_empty.yml")
    output = moving.migrate()
    for number, (text, why) in enumerate(LEFT.items()):
        found = moving.read(f"base/catalog_{number}.yml")
        told = [line for line in output.splitlines() if line.startswith(f"conf/base/catalog_{number}.yml: ")]
        assert any(", because " in line and why in line for line in told), (text, told)
        if "path_of" not in text and "folded" not in text:
            assert found.startswith(f"{text}\n"), text
        assert f"fine_{number}: {{type: {OURS}, filepath: x, dataset: text.TextDataset}}" in found
    assert "in_json: left, because it is in a JSON file" in output


def test_paths_that_are_shared_stay(moving: Moving) -> None:
    text = textwrap.dedent(
        """\
        shared: {type: text.TextDataset, filepath: &p data/x.txt}
        sharing: {type: text.TextDataset, filepath: *p}
        """
    )
    moving.write(text)
    output = moving.migrate("--root", "s3://bucket")
    assert "sharing: left, because its path is no text on one line" in output
    assert moving.read().endswith("sharing: {type: text.TextDataset, filepath: *p}\n")


def test_a_catalog_in_two_environments_moves_in_both(moving: Moving) -> None:
    entry = "x: {{type: text.TextDataset, filepath: {}}}\n"
    by_place = "${globals:place}"
    moving.write(entry.format("data/x") + f"y: {{type: text.TextDataset, filepath: '{by_place}/y'}}\n")
    moving.write("place: data\n", "base/globals.yml")
    moving.write("place: s3://bucket\n", "prod/globals.yml")
    moving.write(entry.format("data/prod/x"), "prod/catalog.yml")
    moving.write(entry.format("data/local/x"), "local/nested/catalog_x.yml")
    before = moving.read()
    assert "1 entries in 1 files are rewritten" in moving.migrate("--env", "prod")
    assert moving.read() == before
    assert moving.entries("prod")["x"] == {"type": OURS, "filepath": "data/prod/x", "dataset": "text.TextDataset"}
    output = moving.migrate("--root", "lakefs://analytics")
    for env in ("local", "prod"):
        assert moving.entries(env)["x"]["filepath"] == f"lakefs://analytics/data/{env}/x"
    assert moving.entries("prod")["y"]["filepath"] == "s3://bucket/y"
    assert moving.entries("prod")["y"]["type"] == OURS
    assert "y: it stays at 's3://bucket/y', which is no path of the project" in output
    assert "x: left, because each environment has another entry of this name in its place" in output


def test_a_place_that_is_below_the_root_in_one_environment_only_stays(moving: Moving) -> None:
    moving.write("y: {type: text.TextDataset, filepath: '${globals:place}/y'}\n")
    moving.write("place: data\n", "base/globals.yml")
    moving.write("place: s3://bucket\n", "prod/globals.yml")
    output = moving.migrate("--root", "s3://bucket")
    assert "y: it stays where it is, which is another place in each environment." in output
    assert moving.entries("local")["y"] == {"type": OURS, "filepath": "data/y", "dataset": "text.TextDataset"}


def test_what_is_merged_softly_is_left(moving: Moving) -> None:
    moving.write("x: {type: text.TextDataset, filepath: x}\ny: {type: text.TextDataset, filepath: y}\n")
    moving.write("x: {filepath: z}\n", "local/catalog.yml")
    args = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"catalog": "soft"}}
    moving.settings["CONFIG_LOADER_ARGS"] = args
    output = moving.migrate("--dry-run")
    assert "conf/base/catalog.yml: x: left, because several environments say something of it" in output
    assert "1 entries in 1 files would be rewritten" in output


BAD = {
    "broken": ("a: {", "conf/base/catalog.yml cannot be read"),
    "a key twice": ("a: 1\na: 2\n", "conf/base/catalog.yml cannot be read: while constructing a mapping"),
    "an entry in two files": ("other: {type: MemoryDataset}\n", "Duplicate keys found"),
    "an unknown name": ("a: {type: '${no.name}'}\n", "cannot be resolved: Interpolation key 'no.name' not found"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_catalog_is_one_error(case: str, moving: Moving) -> None:
    text, why = BAD[case]
    moving.write("other: {type: text.TextDataset, filepath: x}\n", "base/catalog_other.yml")
    moving.write(text)
    output = moving.migrate(fails=True)
    assert "Error: nothing is changed, because " in output
    assert why in output
    assert moving.read("base/catalog_other.yml") == "other: {type: text.TextDataset, filepath: x}\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--copy"], "--copy needs --root"),
        (["--env", "no"], "there is no environment 'no': choose one of base, local."),
        (["--root", "lakesf://x"], "no backend is registered under the prefix 'lakesf'. Did you mean lakefs://?"),
        (["--root", "https://example.org/x"], "--root 'https://example.org/x'"),
        (["--root", "s3://b{x}"], "has a character that would mean something in YAML"),
    ],
)
def test_a_wrong_option_is_one_error(options: list[str], why: str, moving: Moving) -> None:
    moving.write("x: {type: text.TextDataset, filepath: x}\n")
    assert why in moving.migrate(*options, fails=True)
    assert OURS not in moving.read()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- x\n", "catalog.yml cannot be read: it holds a list"),
        ("5: {type: text.TextDataset, filepath: x}\n", "catalog.yml cannot be read: its key 5 is no text"),
    ],
)
def test_a_file_that_has_no_entries_by_name_is_told(text: str, why: str, moving: Moving) -> None:
    moving.write(text)
    assert f"nothing is changed, because conf/base/{why}" in moving.migrate(fails=True)


def test_what_has_a_second_path_of_the_project_stays_at_its_place(moving: Moving) -> None:
    args = "type: partitions.IncrementalDataset, dataset: text.TextDataset, checkpoint: {filepath: d/x/last}"
    moving.write(f"x: {{path: d/x, {args}}}\ny: {{type: {OURS}, filepath: d/x, dataset: {{{args}}}}}\n")
    told = moving.migrate("--root", "s3://b")
    assert "x: it stays at 'd/x', because 'd/x/last' in its arguments is a path as well: move both by hand.\n" in told
    assert "y: left, because it stays at 'd/x'" in told
    assert "s3://b" not in moving.read()
    assert {"x", "y"} <= set(moving.catalog().keys())
    assert repr(moving.catalog().get("x")) == repr(moving.catalog().get("y"))


def test_a_path_that_cannot_be_edited_is_told_as_such(moving: Moving) -> None:
    moving.write("_p: d/\nx: {type: partitions.PartitionedDataset, path: '${_p}', dataset: text.TextDataset}\n")
    assert "x: left, because its path or its type is written in a way that is not edited" in moving.migrate()


def test_a_project_without_a_catalog_has_nothing_to_do(moving: Moving) -> None:
    assert "Nothing to rewrite; 0 entries are left as they are." in moving.migrate()


def test_files_that_cannot_be_written_are_told_before_anything_is_done(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moving.write("x: {type: text.TextDataset, filepath: x}\n")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    assert f"nothing is changed, because {path} may not be written" in moving.migrate(fails=True)
    assert OURS not in moving.read()


def test_what_somebody_has_written_meanwhile_stays(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    moving.write("x: {type: text.TextDataset, filepath: x}\n")
    theirs = "x: {type: text.TextDataset, filepath: other}\n"
    monkeypatch.setattr(writing, "refuse_unwritable", lambda _: moving.write(theirs))  # while it copies, for example
    assert "has changed meanwhile: migrate again" in moving.migrate(fails=True)
    assert moving.read() == theirs


def test_where_a_file_fails_the_others_are_put_back(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("base/catalog_a.yml", "base/catalog_b.yml")
    for name in names:
        moving.write(f"{name[-5]}: {{type: text.TextDataset, filepath: x}}\n", name)
    put: Any = writing._put

    def fail(path: Path, text: str) -> None:
        if path.name == "catalog_b.yml":
            raise PermissionDenied("the disk says no.")
        put(path, text)

    monkeypatch.setattr(writing, "_put", fail)
    assert "catalog_b.yml cannot be written: " in moving.migrate(fails=True)
    assert all(OURS not in moving.read(name) for name in names)


def test_a_loader_that_does_not_say_where_catalogs_are_is_told(moving: Moving) -> None:
    class Other(AbstractConfigLoader):
        pass

    moving.settings["CONFIG_LOADER_CLASS"] = Other
    assert "Other does not say where catalogs are" in moving.migrate(fails=True)


def test_without_a_base_environment_all_is_one(moving: Moving) -> None:
    moving.write("x: {type: text.TextDataset, filepath: x}\n", "catalog.yml")
    moving.settings["CONFIG_LOADER_ARGS"] = {}
    moving.migrate()
    assert OURS in moving.read("catalog.yml")
