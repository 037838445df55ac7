"""Any history of branches, commits and runs: a model predicts what every entry reads, everywhere."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from kedro_statisfactory.project import announce
from kedro_statisfactory.runs.target import Target
from tests.runs.histories.joining import Joining
from tests.runs.histories.names import Names
from tests.runs.histories.overlapping import Overlapping
from tests.servers.lakefs import LakeFSServer

pytestmark = [
    pytest.mark.first,  # they are long
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
PART = 10  # histories that are tried one after the other


class Histories(Overlapping, Names, Joining):
    """All that people, schedulers and other tools do to a project."""


@pytest.fixture
def histories(lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Histories]:
    """The histories on a server, with the state of this process put back afterwards."""
    monkeypatch.chdir(tmp_path)
    for name, value in lakefs_local.environment.items():
        monkeypatch.setenv(name, value)
    announce(None)
    Histories.server = lakefs_local
    Histories.count = 0
    return Histories


def _settings(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=6,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the histories into parts, so that several processes can share them."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(math.ceil(metafunc.config.getoption("--histories") / PART)))


@pytest.mark.timeout(1200)
def test_any_history_reads_as_predicted(histories: type[Histories], pytestconfig: pytest.Config, part: int) -> None:
    count = min(PART, pytestconfig.getoption("--histories") - part * PART)
    number = pytestconfig.getoption("--histories-seed") + part
    print(f"{count} histories from the seed {number} (--histories={count} --histories-seed={number} repeats them)")
    run_state_machine_as_test(seed(number)(histories), settings=_settings(count))
    assert histories.count >= count


# -- negative controls -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _begun(machine: type[Histories]) -> Iterator[Histories]:
    begun = machine()
    begun.begin()
    try:
        yield begun
    finally:
        begun.close()


@pytest.mark.once
def test_a_kill_without_isolation_is_seen(histories: type[Histories]) -> None:
    """A negative control."""
    with _begun(histories) as machine:
        machine.project.settings(mode="direct")
        machine.change_code()
        machine.kill(where="second")
        with pytest.raises(AssertionError, match="on the branch main"):
            machine.everything_reads_as_predicted()


class Drawn:
    """What hypothesis draws in a rule, if it is lucky."""

    def __init__(self, *answers: object) -> None:
        self._answers = iter(answers)

    def draw(self, _: object) -> Any:
        """The next answer."""
        return next(self._answers)


def _overlap(history: Histories, *answers: object) -> None:
    history.succeed(value=3)
    history.overlap(data=Drawn(*answers))
    history.everything_reads_as_predicted()


def _head(target: Target, *_: object) -> str:
    return target.api.branch(target.repository, target.destination).commit_id


AGAIN = (True, 3)  # the number of the run before, so that the bytes of `a` and of the folder are those of before
HALF, PARTS = ("first", "add"), ("first", "parts")


@pytest.mark.once
@pytest.mark.parametrize(
    ("broken", "does", "history", "seen"),
    [
        # lakeFS merges what has changed, and a run made again what was there.
        ("landing.compare", _head, (*AGAIN, HALF, "add", "run", False, 9, PARTS, False), "'a'"),
        # What another tool adds to a folder is no change of what the run has written there.
        ("overlaps.is_at", str.__eq__, (*AGAIN, PARTS, "parts", "folder", True), "'folder'"),
        ("landing.in_folders", lambda *_: False, (False, 9, PARTS, "parts", "folder", False, "dest-wins"), "mixture"),
    ],
)
def test_an_overlap_that_makes_a_mixture_is_seen(
    histories: type[Histories],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    does: Callable[..., Any],
    history: tuple[object, ...],
    seen: str,
) -> None:
    """A negative control."""
    monkeypatch.setattr(f"kedro_statisfactory.runs.{broken}", does)
    with _begun(histories) as machine, pytest.raises(AssertionError, match=seen):
        _overlap(machine, *history)


@pytest.mark.once
def test_a_name_used_again_that_nobody_refuses_is_seen(
    histories: type[Histories], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative control."""
    monkeypatch.setattr("kedro_statisfactory.runs.beginning.is_of_another", lambda *_: False)
    with _begun(histories) as machine:
        machine.create_branch()
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            machine.use_a_name_again(value=3, way="--adopt")


@pytest.mark.once
def test_an_id_that_does_not_find_the_second_run_of_it_is_seen(
    histories: type[Histories], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative control."""
    with _begun(histories) as machine:
        machine.succeed(value=3)
        monkeypatch.setattr("kedro_statisfactory.runs.tags._tag_once", lambda *told: told[3][0])
        with pytest.raises(AssertionError, match="nothing finds the run"):
            machine.use_an_id_again(data=Drawn(next(iter(machine.model.runs))), value=5)


@pytest.mark.once
def test_a_part_that_is_lost_while_its_run_is_finished_is_seen(
    histories: type[Histories], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative control."""
    monkeypatch.setattr("kedro_statisfactory.runs.finishing._has_more", lambda _: False)
    monkeypatch.setattr("kedro_statisfactory.runs.run.refuse_late", lambda *_: None)
    with _begun(histories) as machine, pytest.raises(AssertionError, match="a part was lost that came after merge"):
        machine.finish_while_a_part_lands(value=3, call="merge", after=True)
