"""Whether a form that the prompt names is heard in what is generated: how alike the melodies of two sections are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int

from mech_music.tiny.long.composition import Asked, Piece, compose, n_sections
from mech_music.tiny.long.forms import TOLD, TOLD_FORMS
from mech_music.tiny.long.melody import likeness

_JUDGED = 6
"""Beats of a section that are compared: the cadence's are left out."""


@dataclass(frozen=True)
class Obeyed:
    """Of one generated piece: likeness of sections that should be the same melody, and of those that should not.

    ``right``: the share of sections (of those that the form says anything of) whose most alike earlier section has the
    letter that it should return to. ``chance``: the same with the letters of another form of as many sections.
    """

    same: float
    other: float
    right: float
    chance: float


def asked_for(n: int, first: int) -> list[Piece]:
    """Told pieces of every tempo, instrument and form in turn, from number ``first`` on."""
    tempi, instruments = ("medium", "slow", "fast"), ("piano", "guitar", "violin", "trumpet")
    return [
        compose(first + at, Asked(TOLD, tempi[at % 3], instruments[at // 3 % 4], TOLD_FORMS[at * 5 % len(TOLD_FORMS)]))
        for at in range(n)
    ]


def obeyed(piece: Piece, melody: Int[np.ndarray, "section beat"], other_form: str) -> Obeyed:
    """How well a melody follows the form of its piece's prompt, and how well it would follow another form."""
    alike = {
        (one, two): likeness(melody[one, :_JUDGED], melody[two, :_JUDGED])
        for one, two in combinations(range(len(melody)), 2)
    }
    form = piece.form[: n_sections(piece.tempo)]
    same = [value for (one, two), value in alike.items() if form[one] == form[two]]
    other = [value for (one, two), value in alike.items() if form[one] != form[two]]
    return Obeyed(_mean(same), _mean(other), _right(form, alike), _right(other_form[: len(form)], alike))


def _right(form: str, alike: dict[tuple[int, int], float]) -> float:
    """Of sections that return: whether the earlier section that they are most like has their letter."""
    found = []
    for at in range(1, len(form)):
        if form[at] in form[:at]:
            nearest = max(range(at), key=lambda earlier: alike[earlier, at])
            found.append(form[nearest] == form[at])
    return _mean(found)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def other_forms(pieces: Sequence[Piece]) -> list[str]:
    """For every piece another form than its own, by its first letters."""
    found = []
    for at, piece in enumerate(pieces):
        size = n_sections(piece.tempo)
        others = [form for form in TOLD_FORMS if form[:size] != piece.form[:size]]
        found.append(others[at * 7 % len(others)])
    return found
