"""A piece as it was read: parts of notes in quarter notes, before it is fitted on a grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mech_music.base.errors import UserError


class Heard(NamedTuple):
    """A note: where it begins, in quarter notes from the first full bar on (below 0 before it), how long, and its MIDI
    pitch."""

    start: float
    length: float
    pitch: int


@dataclass(frozen=True)
class Score:
    """``metre``: beats and their unit, as in 3/4. ``letters``: a person's label of each bar's phrase, "" for none;
    empty where nobody labelled it."""

    name: str
    metre: tuple[int, int]
    parts: tuple[tuple[Heard, ...], ...]
    letters: tuple[str, ...] = ()

    @property
    def bar(self) -> float:
        """Quarter notes of a bar."""
        return 4 * self.metre[0] / self.metre[1]


class Reading(NamedTuple):
    """The scores of a corpus, and a line for each that was left out, which says why."""

    scores: list[Score]
    left_out: list[str]


def one_metre(name: str, found: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The only time signature of a piece. UserError for one that changes; 4/4 where none is written."""
    metres = list(dict.fromkeys(found))
    if len(metres) > 1:
        told = ", ".join(f"{beats}/{unit}" for beats, unit in metres[:3])
        raise UserError(f"'{name}' changes its time signature ({told}): the grid has one; cut the piece there")
    return metres[0] if metres else (4, 4)


def files_of(path: str, corpus: str, what: str, endings: tuple[str, ...]) -> list[Path]:
    """The files of a user's folder, in order. UserError without a path, and for a folder without such files."""
    if not path:
        raise UserError(f"corpus={corpus} needs corpus.path=<{what}>")
    folder = Path(path).expanduser()
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings)
    if not found:
        raise UserError(f"corpus.path={path}: no {' or '.join(endings)} file in this folder; expected {what}")
    return found
