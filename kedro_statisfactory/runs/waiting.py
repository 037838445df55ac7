"""The runs that wait to be ended, all together."""

from __future__ import annotations

from dataclasses import dataclass, field

from kedro_statisfactory.runs.leftovers import Places, leftovers

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
    waiting, at_work, ages = Waiting(), set[str](), dict[str, float]()
    for backend, repository in places:
        for each in leftovers(backend.api, repository):
            what = f"{each.name} of {repository}"
            if not each.complete:
                waiting.left_out.append(f"left {what}: it is not complete; `clean` drops it when it is old")
            elif each.hours < LANDS_WITHIN:
                at_work.add(each.run_id)
                waiting.left_out.append(f"left {what}: it may be about to land; to end it all the same, name its run")
            else:
                ages[each.run_id] = max(each.hours, ages.get(each.run_id, 0.0))
    waiting.ids.extend(sorted(ages.keys() - at_work, key=lambda run_id: -ages[run_id]))
    return waiting
