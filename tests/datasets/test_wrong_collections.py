"""What makes no collection of partitions is refused before anything is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.base import Backend
from tests.datasets.conftest import Place
from tests.datasets.partitions import Named, collection


def test_a_text_is_no_order_to_remove_partitions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"E0501.*`overwrite` of a collection is of type str: write true or false"):
        collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), overwrite="no")


def test_a_partition_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None"):
        collection(Place(str(tmp_path), lambda *_: None, lambda *_: None)).save({"a": None})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"../x": 1}, "'../x' of a partition"),
        ({"/x": 1}, "absolute"),
        ({"a\\..\\..\\x": 1}, "a segment that is empty, '.' or '..'"),
        ({"": 1}, "is empty"),
        ({"a//b": 1}, "a segment that is empty"),
        ({"./a": 1}, "'./a' of a partition"),
        ({5: 1}, "of type int: make it a text"),
        ({"a\n": 1}, "a control character"),
        ({".statisfactory-x": 1}, "this package uses"),
        ({"CHECKPOINT": 1}, "where the checkpoint is kept"),
        ({"a/b": 1, "a": 2}, "'a' and 'a/b' cannot both be there"),
        ({"a/b": 1, "a\\b": 2}, "Windows and some servers take for the same"),
        ([1], "got list"),
    ],
)
def test_what_makes_no_partitions_is_refused_before_anything_is_saved(tmp_path: Path, data: Any, says: str) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), "Incremental")
    with pytest.raises(DatasetError, match=f"(?s)E0[15]01.*{says}"):
        days.save({"ok": 1, **data} if isinstance(data, dict) else data)
    assert not (tmp_path / "days").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"credentials": {"key": "hush"}}, "`credentials` belongs to the entry"),
        ({"dataset": {"type": "json.JSONDataset", "filepath": "x"}}, "`filepath` belongs to the entry"),
        ({"dataset": {"type": ArtifactDataset, "save_args": {"a": 1}}}, "move `save_args` up"),
        ({"dataset": {"type": "partitions.PartitionedDataset", "dataset": "x"}}, "would be a collection"),
        ({"dataset": "pandas.DeltaTableDataset"}, "DeltaTableDataset would be a folder"),
        ({"dataset": {"no": "type"}}, "has no `type`"),
        ({"dataset": "api.APIDataset"}, "takes no `filepath`"),
        ({"load_args": {"withdirs": True}}, "take `withdirs` away"),
        ({"path": "x"}, "`path` belongs to the entry"),
        ({"no_such": 1}, "no_such"),
        ({"filename_suffix": 5}, "`filename_suffix` of a collection is of type int: write a text"),
        ({"load_args": ["maxdepth"]}, "`load_args` of a collection is of type list"),
        ({"load_args": {"maxdepth": "all"}}, "`maxdepth` of a collection is 'all'"),
        ({"load_args": {"maxdepth": 0}}, "`maxdepth` of a collection is 0"),
        ({"checkpoint": 5}, "`checkpoint` of a collection is of type int"),
        ({"checkpoint": {"comparison_func": "no.such.function"}}, "no.such.function` of the checkpoint cannot be"),
        ({"checkpoint": {"comparison_func": "os.sep"}}, "'os.sep', which is no function"),
        ({"checkpoint": {"versioned": True}}, "`versioned` of the checkpoint is not supported"),
        ({"checkpoint": {"filepath": "../x"}}, "'../x' is outside of the collection .*, as in '.*/x/CHECKPOINT'"),
        ({"checkpoint": {"filepath": "s3://other/x"}}, "'s3://other/x' is outside of the collection"),
        ({"checkpoint": {"filepath": "/etc/x"}}, "'/etc/x' is outside of the collection"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(tmp_path: Path, args: dict[str, Any], says: str) -> None:
    format_ = {"type": "partitions.IncrementalDataset", "dataset": "json.JSONDataset", **args}
    with pytest.raises(DatasetError, match=f"(?s)E0501.*{says}") as error:
        ArtifactDataset.from_config("days", {"type": ArtifactDataset, "filepath": f"{tmp_path}/x", "dataset": format_})
    assert "hush" not in str(error.value)


class Folder(Named):
    """A format that writes a folder."""

    def __init__(self, filepath: str) -> None:
        super().__init__(filepath)

    def _save(self, data: str) -> None:
        self._path.mkdir()
        (self._path / "x").write_text(data)


def test_a_partition_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), dataset=Folder)
    with pytest.raises(DatasetError, match=r"/days/a': \[E0501\] Folder has written several files"):
        days.save({"a": "text"})
    assert list(days.list_below()) == []


def test_a_check_before_a_run_looks_at_the_format_of_the_partitions(tmp_path: Path) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    collection(place).check_format(is_written=True)
    bad = collection(place, "Incremental", dataset={"type": "text.TextDataset", "fs_args": 5})
    with pytest.raises(DatasetError, match="TextDataset"):
        bad.check_format(is_written=True)


def test_a_backend_without_more_than_the_two_verbs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backend, "_backends", {**Backend._backends})

    class Poor(Backend, prefix="poor"):
        def put(self, **_: Any) -> None: ...

        def get(self, **_: Any) -> bytes:
            return b""

    with pytest.raises(DatasetError, match=r"E0203.*does not list"):
        collection(Place("poor://x", lambda *_: None, lambda *_: None)).load()
