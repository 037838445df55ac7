"""A project whose modules a test writes, and reads as a new process would."""

from __future__ import annotations

import importlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.project.code import CodeReader, NodeCode, UnknownCode, files
from kedro_statisfactory.project.code.modules import is_installed, is_standard

PACKAGES = ("shop", "tools")


@dataclass
class Shop:
    """A project with the package `shop`, whose node is the function `f` of `shop.nodes`."""

    root: Path

    def write(self, modules: Mapping[str, str]) -> None:
        """Write modules by their names, and the packages that they are in."""
        for name, text in modules.items():
            file = self.root / "src" / (name.replace(".", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            for folder in file.relative_to(self.root / "src").parents[:-1]:
                (self.root / "src" / folder / "__init__.py").touch()
            file.write_text(text)

    def clear(self) -> None:
        """Take all modules away."""
        shutil.rmtree(self.root / "src")
        (self.root / "src").mkdir()

    def load(self, name: str = "shop.nodes", also: tuple[str, ...] = ()) -> Any:
        """The function `f` of a module, as a new process has it that has loaded others before."""
        forget()
        for each in also:
            importlib.import_module(each)
        return importlib.import_module(name).f

    def reader(self, **options: Any) -> CodeReader:
        """Reads the code as it is now."""
        return CodeReader(self.root, "shop", **options)

    def code(self, *also: str) -> NodeCode:
        """The code of the node."""
        return known(self.reader().read(self.load(also=also)))

    def why(self, function: Any = None) -> str:
        """Why the code of a function, or of the node, is not known."""
        found = self.reader().read(function or self.load())
        assert isinstance(found, UnknownCode), found
        return found.reason


def known(found: NodeCode | UnknownCode) -> NodeCode:
    """Code that is known."""
    assert isinstance(found, NodeCode), found
    return found


def forget() -> None:
    """Forget the modules of the project, as if no process had loaded them."""
    importlib.invalidate_caches()
    for name in [each for each in sys.modules if each.split(".")[0] in PACKAGES]:
        del sys.modules[name]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A project in a process that began after its files were written, with no other sources beside."""
    (tmp_path / "src").mkdir()
    places = [place for place in sys.path if is_installed(f"{place}/") or is_standard(f"{place}/")]
    monkeypatch.setattr(sys, "path", [str(tmp_path / "src"), *places])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(files, "_began", lambda: time.time() + 1)
    yield Shop(tmp_path)
    forget()
