"""The fewest features without which a concept is heard no more often than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mech_music.results.tables import Line


class Fewest(NamedTuple):
    """``low`` and ``high``: ends of the interval; None for more than were tried. ``most``: the number tried at most."""

    number: int | None
    low: int | None
    high: int | None
    most: int

    def __str__(self) -> str:
        """``8 [4, 16]``."""
        words = [f"> {self.most}" if one is None else str(one) for one in self]
        return f"{words[0]} [{words[1]}, {words[2]}]"


def fewest(lines: Sequence[Line]) -> Fewest:
    """From the lines of one concept with features put to 0: the first number at which the mean is at chance or below.

    The interval has every number for which chance is within the interval of what is heard (its inversion): from the
    first whose lower end is not above chance to the first whose upper end is not.
    """
    ordered = sorted(lines, key=lambda line: line["features"])

    def first(end: str) -> int | None:
        return next((line["features"] for line in ordered if line[f"heard{end}"] <= line["chance"]), None)

    return Fewest(first(""), first("_low"), first("_high"), ordered[-1]["features"])
