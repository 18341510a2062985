"""What people decided of pairs of places, as a file beside the manifest: ``labels.csv``.

A pair has a state: *unverified* (nobody listened), *positive* (the second place is the first one's music), *negative*
(it is not), *ambiguous* (nobody can say, or two people disagree) or *rejected* (the places themselves are wrong).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from mech_music.base.errors import UserError, first_line
from mech_music.structure.pieces.manifest import write_csv

LABELS = "labels.csv"


class State(StrEnum):
    """What is known of a pair."""

    unverified = "unverified"
    positive = "positive"
    negative = "negative"
    ambiguous = "ambiguous"
    rejected = "rejected"


@dataclass(frozen=True)
class Label:
    """A pair of places of one recording (its name in the manifest), in seconds; ``sha256``: of that file."""

    recording: str
    sha256: str
    first_start: float
    first_end: float
    second_start: float
    second_end: float
    semitones: int
    state: State
    reviewers: int

    @property
    def verified(self) -> bool:
        """Whether somebody listened and said yes or no."""
        return self.state in (State.positive, State.negative)


def write_labels(folder: Path, labels: Sequence[Label]) -> Path:
    """To ``folder/labels.csv``, in the place of an earlier one."""
    write_csv(folder / LABELS, [field.name for field in fields(Label)], [asdict(label) for label in labels])
    return folder / LABELS


def read_labels(folder: Path) -> list[Label]:
    """From ``folder/labels.csv``. UserError for a file that is missing, damaged, or has places that end before they
    begin."""
    path, names = folder / LABELS, [field.name for field in fields(Label)]
    try:
        with path.open(newline="", encoding="utf-8-sig") as written:
            lines = list(csv.DictReader(written))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"'{path}' cannot be read ({first_line(error)}): write it with mech-music review labels"
        ) from None
    found = []
    for number, line in enumerate(lines, 2):
        try:
            place = {name: float(line[name]) for name in names[2:6]}
            label = Label(line["recording"], line["sha256"], **place, semitones=int(line["semitones"]),
                          state=State(line["state"]), reviewers=int(line["reviewers"]))  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"'{path}', line {number}: {first_line(error)}; expected {', '.join(names)}, and one of the states "
                f"{', '.join(State)}"
            ) from None
        if not 0 <= label.first_start < label.first_end or not label.second_start < label.second_end:
            raise UserError(f"'{path}', line {number}: a place ends before it begins")
        found.append(label)
    return found
