"""The tables of the README have what the code has, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from fsspec.registry import known_implementations

from kedro_statisfactory import ArtifactDataset, Backend, LakeFSBackend, LocalFS, S3Backend, errors
from tests.readme.blocks import README, ROOT

_PACKAGE = ROOT / "kedro_statisfactory"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
# Texts of the code that look like variables of the environment, or are none that a user sets, and why.
_NOT_TOLD = {
    "DEFAULT_FS_ARGS": "an attribute of classes of kedro-datasets",
    "JAVA_HOME": "Java's own, which is only looked at",
    "SPARK_REMOTE": "Spark's own, which is only looked at",
    "FULL_OBJECT": "a kind of checksum of S3",
    "O_BINARY": "a flag of open()",
    "SC_CLK_TCK": "a setting of the system",
    "TYPE_CHECKING": "a name of the module typing",
    "O_DIRECTORY": "a flag of open()",
    "RUN_ID": "a name of the module",
    "WRONG_VERSION": "a reason of OpenSSL's",
    "GIT_COMMON_DIR": "git's own, which is only looked at",
    "GIT_CONFIG": "the beginning of names that git reads itself",
    "GIT_EXEC_PATH": "git's own, which is handed on",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "set for git, not read",
    "GIT_INDEX_FILE": "set for git, not read",
    "GIT_OBJECT_DIRECTORY": "set for git, not read",
    "GIT_LITERAL_PATHSPECS": "set for git, not read",
    "GIT_PYTHON_REFRESH": "set for GitPython, and taken back",
    "LC_ALL": "set for git, not read",
}
# They have no underscore, so that only their place tells what they are.
_SINGLE_WORDS = {"BUILDKITE", "CIRCLECI", "LOCALAPPDATA", "TMPDIR"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables of a section, without their heads."""
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section[1].splitlines() if "|" in line]
    return [row for number, row in enumerate(found) if not _is_head(found, number)]


def _is_head(found: list[list[str]], number: int) -> bool:
    lines = ("|".join(found[each]) for each in (number, number + 1) if each < len(found))
    return any(set(line) <= set("|-") for line in lines)


def variables_of_code(source: str) -> set[str]:
    """Variables of the environment that a module names: whole texts, and those in the templates of web pages."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg and _VARIABLE.fullmatch(node.arg):
            found.add(node.arg)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _VARIABLE.fullmatch(node.value) or node.value in _SINGLE_WORDS:
                found.add(node.value)
            found |= {name for name in re.findall(r"{(\w+)}", node.value) if _VARIABLE.fullmatch(name)}
    return found


def variables_of_tables() -> set[str]:
    cells = (cell for heading in ("Data branches", "Commands and variables") for row in rows(heading) for cell in row)
    found = {name for cell in cells for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", cell)}
    return found - {"RUN_ID"}  # the argument of a command


def _sources() -> Iterator[str]:
    for path in sorted(Path(_PACKAGE).rglob("*.py")):
        yield path.read_text(encoding="utf-8")


def test_every_variable_of_the_environment_is_in_a_table() -> None:
    known = set().union(*map(variables_of_code, _sources())) - _NOT_TOLD.keys()
    settings = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yml"))
    known |= set(re.findall(r"oc\.env:(\w+)", settings))
    assert variables_of_tables() - {"TMPDIR"} == known - {"TMPDIR"}


def test_another_variable_would_be_noticed() -> None:
    """The negative control."""
    assert variables_of_code("import os\nos.environ.get('NEW_ONE')") == {"NEW_ONE"}
    assert variables_of_code("page = '{OTHER_ONE}/jobs'\nplain = 'Not one'") == {"OTHER_ONE"}


def test_every_parameter_of_an_entry_is_in_the_table() -> None:
    told = {name for row in rows("Parameters of an entry") for name in re.findall(r"`(\w+)`", row[0])}
    # Kedro makes `version` of `versioned`.
    known = {{"version": "versioned"}.get(name, name) for name in inspect.signature(ArtifactDataset).parameters}
    assert told == known


def test_every_prefix_is_in_the_table() -> None:
    # Other tests register backends of their own.
    known = {name for name, kind in Backend.backends().items() if kind in (LocalFS, S3Backend, LakeFSBackend)}
    cells = [row[0] for row in rows("URLs")]
    told = {name for cell in cells for name in re.findall(r"`(\w+)(?:://[^`]*)?`", cell) if "/" not in name}
    assert known <= told | {""}
    assert all(prefix in known or prefix in known_implementations for prefix in told), "the rest is what fsspec knows"


def test_every_error_is_in_the_table_in_its_family() -> None:
    told = {row[0].strip("`…"): set(re.findall(r"`(\w+)`", row[2])) for row in rows("Errors")}
    known: dict[str, set[str]] = {}
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.StatisfactoryError):
            known.setdefault(error.code[:3], set()).add(error.__name__)
    del known["E00"]
    assert told == known
