"""Paired timing: the sides of a comparison take turns, and ratios are taken within a turn.

Other work on the machine comes and goes over minutes. Sides that alternate (A B A B) meet the same of it, so the
median of the paired ratios holds still where the seconds do not.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    ``run`` gets the number of the round; round 0 is not timed. ``amount``: units of work (clips) in a round.
    ``threads``: torch's, while it runs; 0 leaves them as they are.
    """

    name: str
    run: Callable[[int], object]
    amount: float = 1.0
    threads: int = 0


@dataclass(frozen=True)
class Timing:
    """A side's seconds, round by round."""

    name: str
    seconds: tuple[float, ...]
    amount: float = 1.0

    @property
    def each(self) -> tuple[float, ...]:
        """Seconds per unit of work."""
        return tuple(seconds / self.amount for seconds in self.seconds)

    def rates(self, amount: float) -> tuple[float, ...]:
        """``amount`` per second, for instance floating-point operations."""
        return tuple(amount / seconds for seconds in self.seconds)


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios, the least and the greatest of them."""

    median: float
    low: float
    high: float


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """``first`` ÷ ``second``, pair by pair. ValueError if they are not pairs."""
    if not first or len(first) != len(second):
        raise ValueError(f"paired ratios need as many values on each side, not {len(first)} and {len(second)}")
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


def alternate(sides: Sequence[Side], rounds: int, clock: Callable[[], float] = time.perf_counter) -> list[Timing]:
    """Run every side in turn, ``rounds`` times after one round that warms up; seconds of each, in order."""
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, times in zip(sides, seconds, strict=True):
            taken = _time(side, number, clock)
            if number:
                times.append(taken)
    return [Timing(side.name, tuple(times), side.amount) for side, times in zip(sides, seconds, strict=True)]


def _time(side: Side, number: int, clock: Callable[[], float]) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(side.threads or before)
    gc.collect()
    try:
        _synchronise()
        start = clock()
        side.run(number)
        _synchronise()
        return clock() - start
    finally:
        torch.set_num_threads(before)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
