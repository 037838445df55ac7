"""What can be a format is accepted, every other class is refused, and it says why."""

from __future__ import annotations

import importlib
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from kedro_statisfactory import ArtifactDataset

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries of the formats
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class OfAPath(AbstractDataset[str, str]):
    """A class that takes a path of its own, and wraps no other."""

    def __init__(self, path: str) -> None: ...

    def _load(self) -> str:
        return ""

    def _save(self, data: str) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("api.APIDataset", "takes no `filepath`"),
        ("MemoryDataset", "takes no `filepath`"),
        ({"type": "tests.datasets.test_refused_formats.OfAPath", "path": "x"}, "`path` belongs to the entry"),
        ({"backend": "joblib"}, "has no `type`"),
        ({"type": "text.TextDataset", "versioned": True}, "`versioned` belongs to the entry"),
        ({"type": "text.TextDataset", "filepath": "x"}, "`filepath` belongs to the entry"),
        (5, "`dataset` is of type int"),
        ({"type": "text.TextDataset", "no_such": 1}, "do not fit .*TextDataset: .*no_such"),
    ],
)
def test_what_cannot_be_a_format_is_refused_and_says_why(dataset: Any, says: str) -> None:
    with pytest.raises(DatasetError, match=f"(?s)E0501.*{says}.*my_entry"):
        DataCatalog.from_config(
            {"my_entry": {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "x", "dataset": dataset}}
        ).get("my_entry")


def test_a_format_that_does_not_exist_is_named() -> None:
    with pytest.raises(DatasetError, match=r"(?s)no\.SuchDataset.*my_entry"):
        DataCatalog.from_config(
            {
                "my_entry": {
                    "type": "kedro_statisfactory.ArtifactDataset",
                    "filepath": "x",
                    "dataset": "no.SuchDataset",
                }
            }
        ).get("my_entry")


def test_every_dataset_with_a_filepath_is_accepted_and_every_other_one_refused() -> None:
    """All of kedro-datasets whose library is installed here."""
    import inspect

    import kedro_datasets

    root = Path(kedro_datasets.__file__).parent
    seen = {True: 0, False: 0}
    for module in sorted(path.parent.name for path in root.glob("*/__init__.py")):
        for name in re.findall(r"[A-Z]\w+Dataset", (root / module / "__init__.py").read_text()):
            try:
                kind = getattr(importlib.import_module(f"kedro_datasets.{module}"), name)
            except (ImportError, AttributeError):
                continue
            if not issubclass(kind, AbstractDataset):
                continue
            takes = "filepath" in inspect.signature(kind).parameters
            seen[takes] += 1
            needed = {
                parameter.name: "x"
                for parameter in inspect.signature(kind).parameters.values()
                if parameter.default is parameter.empty
                and parameter.name != "filepath"
                and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            }
            if takes:
                ArtifactDataset(filepath="s3://b/x", dataset={"type": kind, **needed})
            else:
                with pytest.raises(Exception, match="E0501"):
                    ArtifactDataset(filepath="s3://b/x", dataset={"type": kind, **needed})
    assert seen[True] >= 15
    assert seen[False] >= 3


def test_the_format_works_on_a_private_copy_of_its_arguments(tmp_path: Path) -> None:
    config = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"encoding": "utf-8"}}}
    before = pickle.dumps(config)
    entry = ArtifactDataset(filepath=str(tmp_path / "x"), dataset=config)
    entry.save("text")
    assert pickle.dumps(config) == before
    shutil.rmtree(tmp_path, ignore_errors=True)
