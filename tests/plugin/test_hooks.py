"""What would lose data is refused before anything runs: generator nodes whose chunks do not add up, unknown options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import ParseResult

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline, node, pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.text import TextDataset
from pluggy import PluginManager

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.location import parse
from kedro_statisfactory.plugin.hooks import hooks
from kedro_statisfactory.project import current_project
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session


def _chunks() -> Iterator[str]:
    yield "one\n"
    yield "two\n"


def _manager() -> PluginManager:
    manager = _create_hook_manager()
    manager.register(hooks)
    return manager


def _begin(nodes: Pipeline, catalog: DataCatalog) -> None:
    _manager().hook.before_pipeline_run(run_params={}, pipeline=nodes, catalog=catalog)


def _catalog(folder: Path, **dataset: Any) -> DataCatalog:
    return DataCatalog.from_config(
        {
            "out": {
                "type": "kedro_statisfactory.ArtifactDataset",
                "filepath": str(folder / "out.txt"),
                "dataset": {"type": "text.TextDataset", **dataset},
            },
            "stock": {"type": "text.TextDataset", "filepath": str(folder / "stock.txt")},
        }
    )


def test_chunks_that_would_replace_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"(?s)entry 'out'.*E0502.*node 'chunks' saves in chunks.*mode: a"):
        _begin(pipeline([node(_chunks, None, "out", name="chunks")]), _catalog(tmp_path))


def test_chunks_of_plain_bytes_are_refused_too(tmp_path: Path) -> None:
    catalog = DataCatalog.from_config(
        {"raw": {"type": "kedro_statisfactory.ArtifactDataset", "filepath": str(tmp_path / "raw")}}
    )
    with pytest.raises(DatasetError, match="E0502"):
        _begin(pipeline([node(_chunks, None, "raw")]), catalog)


def test_without_the_refusal_chunks_are_lost(tmp_path: Path) -> None:
    """The negative control."""
    catalog = _catalog(tmp_path)
    SequentialRunner().run(pipeline([node(_chunks, None, "out")]), catalog)
    assert catalog.load("out") == "two\n"


def test_chunks_that_append_are_all_kept(tmp_path: Path) -> None:
    nodes = pipeline([node(_chunks, None, "out")])
    catalog = _catalog(tmp_path, fs_args={"open_args_save": {"mode": "a"}})
    _begin(nodes, catalog)
    SequentialRunner().run(nodes, catalog)
    assert catalog.load("out") == "one\ntwo\n"


def _out(**config: Any) -> DataCatalog:
    return DataCatalog.from_config({"out": {"type": "kedro_statisfactory.ArtifactDataset", **config}})


def _appending(mode: str, kind: str = "text.TextDataset") -> dict[str, Any]:
    return {"type": kind, "fs_args": {"open_args_save": {"mode": mode}}}


@pytest.mark.parametrize(
    "config",
    [
        {"dataset": "pandas.DeltaTableDataset"},
        {"dataset": {"type": "pandas.DeltaTableDataset", "save_args": {"mode": "overwrite"}}},
        {"dataset": {"type": "pandas.CSVDataset", "save_args": {"mode": "a"}}},
        {"dataset": _appending("w+")},
        {"dataset": _appending("r+")},
        {"dataset": _appending("ab", "pandas.ParquetDataset")},
        {"dataset": _appending("ab", "pickle.PickleDataset")},
        {"dataset": _appending("a"), "versioned": True},
        {"type": "CachedDataset", "dataset": {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "out"}},
    ],
)
def test_chunks_that_a_format_does_not_add_up_are_refused(config: dict[str, Any]) -> None:
    own = config if "type" in config else {"filepath": "out", **config}
    with pytest.raises(DatasetError, match="E0502"):
        _begin(pipeline([node(_chunks, None, "out")]), _out(**own))


def _tables() -> Iterator[Any]:
    import pandas as pd

    for number in (1, 2):
        yield pd.DataFrame({"n": [number]})


def test_tables_that_append_are_all_kept(tmp_path: Path) -> None:
    dataset = {"type": "pandas.DeltaTableDataset", "save_args": {"mode": "append"}}
    catalog, nodes = _out(filepath=str(tmp_path / "out"), dataset=dataset), pipeline([node(_tables, None, "out")])
    _begin(nodes, catalog)
    SequentialRunner().run(nodes, catalog)
    assert sorted(catalog.load("out")["n"]) == [1, 2]


def test_entries_of_others_and_plain_nodes_are_left_alone(tmp_path: Path) -> None:
    nodes = pipeline([node(_chunks, None, "stock"), node(lambda: "x", None, "out", name="plain")])
    _begin(nodes, _catalog(tmp_path))
    _begin(pipeline([node(_chunks, None, "memory")]), DataCatalog())


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("x.json", {"save_args": {"mode": "a"}}, "LocalFS does not know the option mode"),
        ("x.json", {"save_args": {True: 1, "index": False}}, "the option True, index"),
        ("s3://bucket/x.json", {"save_args": {"StorageClas": "GLACIER"}}, "StorageClas"),
        ("s3://bucket/x.json", {"load_args": {"StorageClass": "GLACIER"}}, "StorageClass"),
        ("s3://bucket/x.json", {"save_args": {"create_bucket": "no"}}, "true or false"),
        ("lakefs://repository/x.json", {"save_args": {"verify": False}}, "verify"),
        ("lakefs://repository/x.json", {"load_args": {"verify": "no"}}, "true or false"),
        ("lakefs://repository/x.json", {"load_args": {"lake_ref": 10}}, "between quotes"),
    ],
)
def test_options_that_nobody_knows_are_refused(
    url: str, options: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "which-is-not-there")  # no client is made for it
    with pytest.raises(DatasetError, match=f"(?s)entry 'out'.*{named}"):
        _begin(
            pipeline([node(lambda: {}, None, "out", name="plain")]),
            _out(filepath=url, dataset="json.JSONDataset", **options),
        )


def test_a_backend_that_does_not_tell_its_options_in_advance_is_left_alone() -> None:
    class Silent(Backend, prefix="silent"):
        def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None: ...

        def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
            return b""

    _begin(
        pipeline([node(lambda: b"", None, "out", name="plain")]), _out(filepath="silent://x/y", save_args={"any": 1})
    )
    assert Silent(Session()).get(fragment=parse("silent://x/y")) == b""


def test_a_pipeline_without_an_entry_of_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kedro_statisfactory.datasets.artifact", raising=False)
    _begin(pipeline([node(_chunks, None, "memory")]), DataCatalog())
    manager = _manager()
    manager.hook.on_pipeline_error(error=None, run_params={}, pipeline=None, catalog=DataCatalog())
    manager.hook.after_pipeline_run(run_params={}, run_result={}, pipeline=None, catalog=DataCatalog())


def test_a_configuration_that_knows_no_patterns_has_the_default_settings(tmp_path: Path) -> None:
    context: Any = SimpleNamespace(project_path=tmp_path, config_loader={})
    hooks.after_context_created(context)
    assert current_project().settings == Settings()
    assert current_project().path == tmp_path


@pytest.mark.parametrize("is_written", [True, False])
def test_a_format_that_refuses_its_arguments_is_told_before_anything_runs(tmp_path: Path, is_written: bool) -> None:
    catalog = DataCatalog.from_config(
        {
            "model": {
                "type": "kedro_statisfactory.ArtifactDataset",
                "filepath": str(tmp_path / "model.pkl"),
                "dataset": {"type": "pickle.PickleDataset", "backend": "no_such_library"},
            }
        }
    )
    nodes = node(lambda: 1, None, "model") if is_written else node(print, "model", None)
    with pytest.raises(DatasetError, match=r"(?s)catalog entry 'model'.*no_such_library"):
        _begin(pipeline([nodes]), catalog)


class NeedsItsFile(TextDataset):  # type: ignore[misc]
    """A class of somebody else's that opens its file when it is made."""

    def __init__(self, filepath: str) -> None:
        Path(filepath).read_text()
        super().__init__(filepath=filepath)

    def save(self, data: str) -> None: ...


def test_a_class_that_needs_its_file_is_not_made_without_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    entry = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": str(tmp_path / "x"), "dataset": NeedsItsFile}
    catalog = DataCatalog.from_config({"x": entry})
    _begin(pipeline([node(print, "x", None)]), catalog)
    assert catalog.load("x") == "text"


def test_an_engine_on_other_machines_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: type, data: object = None) -> None:
        raise InvalidFormat(f"{kind.__name__} works elsewhere")

    monkeypatch.setattr("kedro_statisfactory.datasets.checked.refuse_cluster", refuse)
    catalog = _catalog(tmp_path)
    with pytest.raises(DatasetError, match=r"catalog entry 'out': .*TextDataset works elsewhere"):
        _begin(pipeline([node(lambda: "x", None, "out")]), catalog)
    _begin(pipeline([node(print, "out", None)]), catalog)  # it is read where it is


def test_a_service_that_keeps_versions_of_all_that_is_saved_is_left_alone() -> None:
    saved: list[bytes] = []

    class Keeping(Backend, prefix="keeping"):
        def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
            saved.append(payload)

        def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
            return saved[-1]

        def version_options(self, version: str) -> dict[str, Any]:
            return {}

    catalog = _out(filepath="keeping://x/y", versioned=True)
    catalog.save("out", b"data")
    assert Keeping.backends()["keeping"] is Keeping
    assert catalog.load("out") == b"data"
