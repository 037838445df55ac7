"""What is remembered of classes changes nothing that anybody sees of them."""

from __future__ import annotations

import importlib.abc
import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError, Version, core
from kedro_datasets.pickle import PickleDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.signatures import definition_of, remember_signature


def test_a_class_shows_the_same_signature_when_it_is_remembered() -> None:
    for kind in (PickleDataset, ArtifactDataset):
        before = inspect.signature(kind)
        remember_signature(kind)
        assert inspect.signature(kind) == before
        assert "self" not in before.parameters
    made = PickleDataset(filepath="x.pkl", backend="pickle")
    assert made._init_config()["backend"] == "pickle"
    assert made._init_config()["filepath"] == "x.pkl"


def test_a_class_without_a_constructor_of_its_own_is_left_alone() -> None:
    class Plain:
        pass

    remember_signature(Plain)
    assert Plain.__init__ is object.__init__


def test_the_arguments_of_an_entry_are_written_as_they_were_given() -> None:
    config: dict[str, Any] = {"filepath": "x.pkl", "dataset": "pickle.PickleDataset", "metadata": {"a": 1}}
    catalog = DataCatalog.from_config({"x": {"type": "kedro_statisfactory.ArtifactDataset", **config}})
    written, _, _, _ = catalog.to_config()
    assert config.items() <= written["x"].items()


def test_nobody_is_asked_for_a_module_of_ours_in_the_packages_of_kedro(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Listening(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, *_: Any) -> None:
            asked.append(fullname)

    monkeypatch.setattr(sys, "meta_path", [Listening(), *sys.meta_path])
    config = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "x.pkl"}
    catalog = DataCatalog.from_config({"x": config, "y": {**config, "type": "kedro_statisfactory.ArtefactDataset"}})
    assert isinstance(catalog.get("x"), ArtifactDataset)
    with pytest.raises(DatasetError, match="Dataset 'ArtefactDataset' not found in 'kedro_statisfactory'"):
        catalog.get("y")
    assert asked == []
    with pytest.raises(DatasetError, match=r"No module named 'kedro_statistics'"):
        catalog.from_config({"x": {**config, "type": "kedro_statistics.ArtifactDataset"}}).get("x")
    assert set(asked) == {"kedro.io.kedro_statistics", "kedro_datasets.kedro_statistics", "kedro_statistics"}


def test_the_arguments_of_an_entry_are_looked_at_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def getcallargs(init: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        looked.append(init.__qualname__)
        return inspect.getcallargs(init, *args, **kwargs)

    monkeypatch.setattr(core, "getcallargs", getcallargs)
    ArtifactDataset(filepath="x.pkl", dataset="pickle.PickleDataset")
    assert looked == ["AbstractVersionedDataset.__init__", "ArtifactDataset.__init__"]


def test_a_class_of_the_user_may_be_defined_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("of_a_user")
    monkeypatch.setitem(sys.modules, "of_a_user", module)
    found = []
    for _ in range(2):
        module.Text = type("Text", (AbstractDataset,), {"__module__": "of_a_user"})
        kind, args = definition_of({"type": "of_a_user.Text", "filepath": "x"})
        assert args == {"filepath": "x"}
        found.append(kind is module.Text)
    assert found == [True, True]
    assert definition_of({"type": "pickle.PickleDataset"})[0] is PickleDataset
    assert definition_of({"type": PickleDataset})[0] is PickleDataset


def test_an_entry_is_described_as_it_is_now(tmp_path: Path) -> None:
    entry = ArtifactDataset(filepath=f"{tmp_path}/days", dataset="pickle.PickleDataset", version=Version("a", "b"))
    assert "'a'" in repr(entry)
    entry._version = Version("c", "d")  # as a run sets it
    assert "'c'" in repr(entry)
    assert f"{tmp_path}/days/monday'" in repr(entry.part("monday", None))


def test_entries_of_one_format_share_nothing_that_anybody_sees(tmp_path: Path) -> None:
    numbers, texts = (
        ArtifactDataset(filepath=f"{tmp_path}/{name}", dataset={"type": "json.JSONDataset"})
        for name in ("numbers.json", "texts.txt")
    )
    for _ in range(3):
        numbers.save([1])
        texts.save(["a"])
        assert (numbers.load(), texts.load()) == ([1], ["a"])
    assert {path.name for path in tmp_path.iterdir()} == {"numbers.json", "texts.txt"}
    with pytest.raises(DatasetError, match=r"numbers\.json'.*no file"):
        ArtifactDataset(filepath=f"{tmp_path}/no/numbers.json", dataset="json.JSONDataset").load()


def test_a_class_of_the_user_describes_itself_by_what_changes(tmp_path: Path) -> None:
    class Counted(ArtifactDataset):
        saves = 0

        def _describe(self) -> dict[str, Any]:
            return {"saves": self.saves}

    entry = Counted(filepath=f"{tmp_path}/x")
    assert "saves=0" in repr(entry)
    entry.saves = 1
    assert "saves=1" in repr(entry)
