"""Rounds in which peers take turns, and the table of what came out."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        work: What was done.
        against: By whom else.
        ours: Samples, in seconds or bytes.
        peer: The peer's; as many as ours, each taken in the same round.
        target: The most that ours divided by the peer's may be; with ``difference`` the most that ours minus the
            peer's may be; ``None``: for information.
        difference: Whether ``target`` is a difference.
        unit: ``"s"`` or ``"B"``.
    """

    work: str
    against: str
    ours: list[float]
    peer: list[float]
    target: float | None
    difference: bool = False
    unit: str = "s"

    @property
    def figure(self) -> float:
        """What is compared to the target."""
        if self.difference:
            return statistics.median(self._each())
        return statistics.median(self.ours) / statistics.median(self.peer)

    @property
    def reached(self) -> bool:
        return self.target is None or self.figure <= self.target

    def _each(self) -> list[float]:
        pairs = zip(self.ours, self.peer, strict=True)
        return [mine - other if self.difference else mine / other for mine, other in pairs]

    def line(self) -> str:
        each = self._each()
        low, high = _quartiles(each)
        show: Callable[[float], str] = (lambda value: _amount(value, self.unit)) if self.difference else "{:.2f}".format
        cells = (
            self.work,
            self.against,
            str(len(self.ours)),
            _spread(self.ours, self.unit),
            _spread(self.peer, self.unit) if any(self.peer) else "-",
            f"**{show(self.figure)}** ({show(low)} … {show(high)})",
            "-" if self.target is None else show(self.target),
            "" if self.target is None else "yes" if self.reached else "**NO**",
        )
        return "| " + " | ".join(cells) + " |"


def table(results: Iterable[Result]) -> str:
    """Markdown."""
    head = ("work", "against", "rounds", "ours", "peer", "ratio or difference", "target", "reached")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(result.line() for result in results)])


def interleaved(
    rounds: int, peers: Mapping[str, Callable[[], float]], warm_up: int = 1, within: float = math.inf
) -> Samples:
    """Samples of each peer; they take turns, and who begins changes from round to round.

    After the first round none begins later than ``within`` seconds from now.
    """
    names = list(peers)
    samples: Samples = {name: [] for name in names}
    end = time.monotonic() + within
    for number in range(-warm_up, rounds):
        if number > 0 and time.monotonic() > end:
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            value = peers[name]()
            if number >= 0:
                samples[name].append(value)
    return samples


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 4:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def _spread(values: list[float], unit: str) -> str:
    low, high = _quartiles(values)
    return f"{_amount(statistics.median(values), unit)} ({_amount(low, unit)} … {_amount(high, unit)})"


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / (1 << 20):.1f} MiB"
    return f"{value:.2f} s" if abs(value) >= 1 else f"{value * 1e3:.2f} ms"
