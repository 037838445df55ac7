"""The runs that wait to be ended, all together."""

from __future__ import annotations

from dataclasses import dataclass, field

from kedro_statisfactory.project.branches import token_of
from kedro_statisfactory.runs.leftovers import Places, branches_of, leftovers

#: Hours for which a run that is committed may be about to land by itself: it is left alone.
LANDS_WITHIN = 0.1


@dataclass(frozen=True)
class Waiting:
    """Runs that wait.

    Attributes:
        ids: Of those that are complete, so that they can be ended one way or the other; oldest first.
        left_out: Sentences about the others.
    """

    ids: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def ids_of_all(places: Places) -> Waiting:
    """The runs that wait in some repositories: those that a conflict, an interrupt or a crash stopped."""
    waiting, at_work, ages = Waiting(), set[tuple[str, str]](), dict[tuple[str, str], float]()
    for backend, repository in places:
        for each in leftovers(backend.api, repository):
            what, run = f"{each.name} of {repository}", (each.run_id, token_of(each.name))
            if not each.complete:
                waiting.left_out.append(f"left {what}: it is not complete; `clean` drops it when it is old")
            elif each.hours < LANDS_WITHIN:
                at_work.add(run)
                waiting.left_out.append(f"left {what}: it may be about to land; to end it all the same, name its run")
            else:
                ages[run] = max(each.hours, ages.get(run, 0.0))
    for run_id, token in sorted(ages.keys() - at_work, key=lambda run: (-ages[run], run)):
        is_one_of_several = sum(run_id == each for each, _ in ages.keys() | at_work) > 1
        waiting.ids.append(f"{run_id}-{token}" if is_one_of_several else run_id)
    return waiting


def of_one_id(places: Places, run_id: str) -> dict[str, str]:
    """The runs that wait under one id: where each of them waits, by an id that means it alone.

    Two runs may have one id: Kedro takes it from the clock, and a service may give the same to several.

    Args:
        places: The repositories where they may wait.
        run_id: The id; with the token of one of them behind it, it is that one alone.
    """
    found: dict[str, list[str]] = {}
    for backend, repository in places:
        for name in branches_of(backend.api, repository, run_id):
            found.setdefault(token_of(name), []).append(f"{name} of {repository}")
    return {f"{run_id}-{token}" if token else run_id: ", ".join(where) for token, where in sorted(found.items())}
