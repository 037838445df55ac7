"""The house stays in order: small modules, short functions, a docstring for all that is public."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).parents[1] / "kedro_statisfactory"
TESTS = Path(__file__).parent
LONGEST_MODULE = 400  # lines
LONGEST_FUNCTION = 40  # lines, its docstring apart
# What is still longer of the tests, and how long it may be: no line may come to these, and no module to the list.
STILL_LONG = {
    "backends/s3/test_backend.py": 902,
    "backends/s3/test_lean.py": 550,
    "runs/test_joined.py": 937,
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def lengths_of_tests() -> dict[str, int]:
    """How many lines each module has."""
    return {
        path.relative_to(TESTS).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(TESTS.rglob("*.py"))
    }


def long_modules(lengths: dict[str, int], still_long: dict[str, int]) -> list[str]:
    """Names of the modules of tests that are longer than they may be, and of those that the list need not name."""
    grown = [name for name, lines in lengths.items() if lines > still_long.get(name, LONGEST_MODULE)]
    return grown + [f"{name} need not be in the list" for name in still_long if lengths.get(name, 0) <= LONGEST_MODULE]


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


def test_a_module_of_tests_can_be_read_in_one_go_too() -> None:
    assert long_modules(lengths_of_tests(), STILL_LONG) == []


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
    listed = {"old.py": LONGEST_MODULE + 9}
    assert long_modules({"short.py": LONGEST_MODULE, **listed}, listed) == []
    assert long_modules({"long.py": LONGEST_MODULE + 1, **listed}, listed) == ["long.py"]
    assert long_modules({"old.py": LONGEST_MODULE + 10}, listed) == ["old.py"]
    assert long_modules({"old.py": LONGEST_MODULE}, listed) == ["old.py need not be in the list"]
    assert undocumented("class A:\n    def b(self): ...\n    def _c(self): ...") == ["the module", "A", "b"]
