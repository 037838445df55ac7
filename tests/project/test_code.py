"""Which code a node depends on: all that can change what it does, and nothing beside."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.project.code import NodeCode, UnknownCode, files, node_code

Write = Callable[..., Any]


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process begin when a test has written its modules: it has loaded none of them yet."""
    monkeypatch.setattr(files, "_began", lambda: time.time() + 1)


@pytest.fixture
def src(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: None) -> Iterator[Path]:
    """The folder of the sources of a project."""
    before = set(sys.modules)
    source = tmp_path / "src"
    source.mkdir()
    monkeypatch.syspath_prepend(source)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield source
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(src: Path, **modules: str) -> None:
    """Write modules; `__` in a name is a folder."""
    for name, text in modules.items():
        file = src / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.relative_to(src).parents[:-1]:
            (src / folder / "__init__.py").touch()
        file.write_text(text)


def load(name: str, function: str = "f") -> Any:
    """A function as a new process would have it."""
    importlib.invalidate_caches()
    return getattr(importlib.import_module(name), function)


def read(src: Path, function: Any, **options: Any) -> NodeCode | UnknownCode:
    return node_code(function, project=src.parent, package="shop", **options)


def code(src: Path, name: str = "shop.nodes") -> NodeCode:
    """The code of the function `f` of a module, as a new process finds it."""
    for loaded in [each for each in sys.modules if each.split(".")[0] in ("shop", "tools")]:
        del sys.modules[loaded]
    found = read(src, load(name))
    assert isinstance(found, NodeCode), found
    return found


def test_a_node_depends_on_the_modules_that_it_reaches_and_on_no_other(src: Path) -> None:
    write(src, shop__nodes="from .tables import tidy\ndef f(): return tidy()\n", shop__other="x = 1\n")
    write(
        src, shop__tables="def tidy():\n    import shop.deep.far as far\n    return far.x\n", shop__deep__far="x = 1\n"
    )
    before = code(src)
    assert sorted(before.modules) == ["shop", "shop.deep", "shop.deep.far", "shop.nodes", "shop.tables"]
    assert before.whole_project is None
    write(src, shop__other="x = 2\n")
    assert code(src) == before
    write(src, shop__deep__far="x = 2\n")
    after = code(src)
    assert after.digest != before.digest
    assert {name for name in after.modules if after.modules[name] != before.modules[name]} == {"shop.deep.far"}


def test_a_computed_import_lets_the_whole_project_count(src: Path) -> None:
    write(
        src, shop__nodes="import importlib\ndef f(name): return importlib.import_module(name)\n", shop__other="x = 1\n"
    )
    before = code(src)
    assert before.whole_project == "shop.nodes: `import_module` in line 2"
    write(src, shop__other="x = 2\n")
    assert code(src).digest != before.digest


def test_a_file_that_was_edited_after_it_was_loaded_makes_the_code_unknown(
    src: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(src, shop__nodes="def f(): ...\n")
    function = load("shop.nodes")
    monkeypatch.setattr(files, "_began", lambda: time.time() - 10)
    found = read(src, function)
    assert isinstance(found, UnknownCode)
    assert "was changed after this process began" in found.reason


@pytest.mark.parametrize(
    ("versions", "told"), [("ignore", []), ("minor", [1]), ("exact", [2])], ids=["ignore", "minor", "exact"]
)
def test_versions_count_as_the_setting_says(src: Path, versions: Any, told: list[int]) -> None:
    write(src, shop__nodes="import yaml\ndef f(): ...\n")
    found = read(src, load("shop.nodes"), versions=versions)
    assert isinstance(found, NodeCode)
    assert [found.distributions[name].count(".") for name in found.distributions] == 2 * told
    assert [name.lower() for name in found.distributions] == (["python", "pyyaml"] if told else [])


def test_what_was_made_in_no_module_is_unknown(src: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): ...", namespace)
    found = read(src, namespace["f"])
    assert isinstance(found, UnknownCode)
