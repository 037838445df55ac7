"""The house stays in order: small modules, short functions, a docstring for all that is public."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).parents[1] / "kedro_statisfactory"
LONGEST_MODULE = 400  # lines
LONGEST_FUNCTION = 40  # lines, its docstring apart


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def long_functions(source: str) -> list[str]:
    """Names of the functions that are too long."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = (node.end_lineno or 0) - node.lineno + 1 - len(docstring.splitlines())
            if lines > LONGEST_FUNCTION:
                found.append(node.name)
    return found


def undocumented(source: str) -> list[str]:
    """Names of the public modules, classes, functions and methods that say nothing of themselves."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["the module"]

    def look(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node) and not _may_be_silent(node):
                    found.append(node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body)

    look(tree.body)
    return found


# Public names without a docstring, and why.
SILENT = {
    "commands": "a docstring would stand in the place of Kedro's own in `kedro --help`",
    "write": "PartWriter says it for its subclasses",
    "chunks": "PartWriter says it for its subclasses",
}


def _may_be_silent(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Tests say by their name what they promise."""
    return node.name in SILENT or node.name.startswith("test_")


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_can_be_read_in_one_go(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_MODULE
    assert long_functions(source) == []


@pytest.mark.parametrize(
    "module",
    [path for path in modules() if "demo" not in path.parts],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_what_is_public_says_what_it_is(module: Path) -> None:
    assert undocumented(module.read_text(encoding="utf-8")) == []


def test_the_detectors_find_what_they_look_for() -> None:
    body = "    x = 1\n"
    assert long_functions("def short():\n" + 39 * body) == []
    assert long_functions("def long():\n" + 40 * body) == ["long"]
    assert long_functions('def told():\n    """One.\n\n    Two.\n    """\n' + 39 * body) == []
    assert undocumented("class A:\n    def b(self): ...\n    def _c(self): ...") == ["the module", "A", "b"]
