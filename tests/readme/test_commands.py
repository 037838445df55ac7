"""The commands of the README do what it says, typed one after the other in a clone of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme.blocks import ROOT, Block, below, blocks
from tests.servers.lakefs import LakeFSServer

_TUTORIAL, _SESSION = "test_the_tutorial_ends_with_two_branches_and_their_data", "test_the_how_tos_do_what_they_say"
_HOW_TOS = (
    "Load an old run",
    "Settle a conflict between two runs",
    "Make one run of many processes",
    "Clean up after killed runs",
)
CLAIMED = {
    ("kedro-statisfactory", "bash"): "test_both_commands_of_a_newcomer_are_there",
    ("kedro-statisfactory", "text"): _TUTORIAL,
    ("Tutorial", "bash"): _TUTORIAL,
    ("Tutorial", "text"): _TUTORIAL,
    **{(heading, "bash"): _SESSION for heading in _HOW_TOS},
    ("Settle a conflict between two runs", "text"): _SESSION,
    ("Work in two branches, and bring their data together", "text"): "test_two_people_run_compare_merge_and_prune",
    ("Move a whole catalog", "bash"): "test_the_commands_and_the_difference_of_the_readme",
    ("Move a whole catalog", "diff"): "test_the_commands_and_the_difference_of_the_readme",
    ("Development", "bash"): "test_the_commands_for_single_tests_find_tests",
}
# What the how-tos take for given: runs that a log has named, and one that waits.
_BEFORE = {
    "Load an old run": """
sed -i.bak 's|clean/penguins.parquet|&\\n  versioned: true|' conf/base/catalog.yml && git commit -qam versioned
kedro run --env lakefs | tee run.log
RUN_ID=$(grep -o "The run '[^']*'" run.log | cut -d "'" -f 2)
GIT_SHA=$(git rev-parse HEAD)
""",
    "Settle a conflict between two runs": """
RUN_ID=waits
STATISFACTORY_RUN_ID=waits kedro run --env lakefs --to-outputs score --params test_size=0.4
kedro run --env lakefs --params test_size=0.5
! kedro statisfactory run finish --env lakefs waits 2>&1
""",
}
_MARK = "==== block at line"


def script(some: list[Block]) -> str:
    """The commands of blocks, with a mark in the output before those of each."""
    return "set -e\n" + "".join(f'echo "{_MARK} {block.line}"\n{block.text}' for block in some)


def outputs(text: str) -> dict[int, str]:
    """What came out of each block, by its line, without what differs from run to run."""
    found = re.split(rf"^{_MARK} (\d+)$", text, flags=re.MULTILINE)
    return {int(line): normal(output) for line, output in zip(found[1::2], found[2::2], strict=True)}


def normal(output: str) -> str:
    """Output without times, places in Kedro's code, ids and decimals; a space for any white space."""
    output = re.sub(r"^(\[[^\]]*\])?\s+INFO", "INFO", output, flags=re.MULTILINE)
    output = re.sub(r"\s+\w+\.py:\d+", "", output)
    output = re.sub(r"\d{4}-\d\d-\d\dT[\d.]+Z", "<run id>", output)
    output = re.sub(r"\d+\.\d+", "<number>", output)
    return re.sub(r"\s+", " ", output)


def shows(output: str, expected: str) -> bool:
    """Whether all lines of ``expected`` are in ``output``, in this order."""
    position = 0
    for line in expected.strip().splitlines():
        position = output.find(normal(line).strip(), position)
        if position < 0:
            return False
    return True


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as it is now, in a git repository of its own; commands come from this environment.

    An installation would take a minute, and need an index of packages: the tutorial's first command is not run.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "conf/local").mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("GIT_", "PYTEST", "COV_"))]:
        monkeypatch.delenv(name)
    people = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": path, "PYTHONPATH": str(tmp_path), "COLUMNS": "400"}
    for name, value in {**people, **more}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for command in ("git init -q -b main", "git add -A", "git commit -q -m clone"):
        subprocess.run(command.split(), check=True)
    return tmp_path


def shell(command: str) -> str:
    """What a command prints.

    Raises:
        AssertionError: It fails.
    """
    done = subprocess.run(command, shell=True, executable="bash", capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.first
@pytest.mark.once
@pytest.mark.timeout(600)
def test_the_tutorial_ends_with_two_branches_and_their_data(clone: Path, lakefs_local: LakeFSServer) -> None:
    """``lakefs_local`` is asked for so that lakeFS is built when the tutorial starts servers of its own."""
    tutorial = below("Tutorial", "bash")
    assert tutorial[0].text == (
        'python3 -m venv .venv && .venv/bin/pip install -q -e ".[test]" && . .venv/bin/activate\n'
    )
    begin = next(number for number, block in enumerate(tutorial) if "tests.servers" in block.text)
    (clone / "before.sh").write_text(script(tutorial[1:begin]))
    (clone / "after.sh").write_text(script(tutorial[begin + 1 :]))
    found = outputs(shell("bash before.sh") + shell(f"{tutorial[begin].text.strip()} after.sh"))
    last = 0
    for block in blocks():
        if (block.heading, block.language) == ("Tutorial", "text"):
            assert shows(found[last], block.text), f"{found[last]}\n\n{block.text}"
        last = block.line if block.language == "bash" else last
    (first_screen,) = below("kedro-statisfactory", "text")
    lines = first_screen.text.splitlines()
    told = "\n".join(line for line in lines if not line.startswith("$"))
    assert any(shows(output, told) for output in found.values())
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$")]
    assert all(command in "".join(block.text for block in tutorial) for command in typed), "the same as the tutorial's"
    assert (clone / "data/model/score.json").exists()


@pytest.mark.first
@pytest.mark.once
@pytest.mark.timeout(600)
def test_the_how_tos_do_what_they_say(clone: Path, lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lakefs_local.environment.items():
        monkeypatch.setenv(name, value)
    repository = lakefs_local.new_repository()
    monkeypatch.setenv("STATISFACTORY_DEMO_REPOSITORY", repository)
    (look,) = (block for block in below("Tutorial", "bash") if block.text.startswith("look()"))
    definition = look.text.rpartition('look "')[0]
    parts = [definition]
    for heading in _HOW_TOS:
        parts += [f"echo '{_MARK} 0'\n" + _BEFORE.get(heading, ""), script(below(heading, "bash"))]
    (clone / "how-tos.sh").write_text("".join(parts))
    printed = shell("bash how-tos.sh").replace(repository, "demo")
    (conflict,) = below("Settle a conflict between two runs", "text")
    assert shows(normal(printed), conflict.text.replace("…", ""))
    found = outputs(printed)
    told = {
        "Load an old run": "what the code of this commit made: {'accuracy': 0.9884, 'birds': 86}",
        "Settle a conflict between two runs": "The run waits is finished\nThere is no run waits that waits.",
        "Make one run of many processes": "is finished: it is on the data branch 'main' of the repository",
        "Clean up after killed runs": "",
    }
    for heading in _HOW_TOS:
        output = " ".join(found[block.line] for block in below(heading, "bash"))
        assert shows(output, told[heading]), f"{heading}: {output}"


def test_another_output_is_noticed() -> None:
    """The negative control."""
    assert shows(normal("[11/26/26] INFO  The run 'x' is on 'a'   run.py:1\nmore"), "INFO  The run 'x' is on 'a'\n")
    assert not shows(normal("INFO The run 'x' is on 'a'"), "INFO  The run 'x' is on 'b'\n")
    assert not shows(normal("b\na"), "a\nb\n")


@pytest.mark.once
def test_the_commands_for_single_tests_find_tests() -> None:
    install, single = below("Development", "bash")
    assert install.text.endswith(".venv/bin/python -m pytest --cov\n")
    for command in single.text.splitlines():
        words = [sys.executable if word == "python" else word for word in command.split()]
        arguments = ["--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
        done = subprocess.run([*words, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert re.search(r"\b[1-9]\d*(/\d+)? tests? collected", done.stdout), done.stdout + done.stderr
