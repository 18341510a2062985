"""Whether what announces a return is used: the cost of a section's first beat after its announcement and after another.

A told piece's prompt is replaced by one that names another form, which says something else of that section; a hinted
piece's prompt stays, and the cadence before the section is the other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mech_music.tiny.long.composition import Piece
from mech_music.tiny.long.context import Encode, Losses
from mech_music.tiny.long.forms import TOLD, TOLD_FORMS
from mech_music.tiny.long.sound import render


@dataclass(frozen=True)
class Announced:
    """Nats of the first beat of a section, all codebooks together, a frame. After a cadence without its first frame,
    whose tokens hear a little of the cadence itself."""

    piece: int
    regime: str
    returns: bool
    true: float
    other: float


def announced(pieces: Sequence[Piece], encode: Encode, losses: Losses) -> Iterator[Announced]:
    """Every section but the first of told and hinted pieces (and of blind ones, whose cadence announces nothing)."""
    codes = torch.cat([encode(render(piece)[None]) for piece in pieces])
    plain = losses(codes, [piece.prompt for piece in pieces])
    for number, piece in enumerate(pieces):
        targets = range(1, len(piece.sections))
        others, prompts = codes[[number] * len(targets)].clone(), [piece.prompt] * len(targets)
        for row, target in enumerate(targets):
            start = piece.annotated[target].start
            if piece.regime == TOLD:
                prompts[row] = replace(piece, form=other_form(piece, target)).prompt
            else:
                others[row, :, :start] = encode(render(other_cadence(piece, target))[None])[0, :, :start]
        after = losses(others, prompts)
        for row, target in enumerate(targets):
            start = piece.annotated[target].start
            first = slice(start + (piece.regime != TOLD), start + piece.beat)
            true, other = (float(nats[:, first].sum(0).mean()) for nats in (plain[number], after[row]))
            yield Announced(number, piece.regime, piece.sections[target].kind.returns, true, other)


def other_form(piece: Piece, target: int) -> str:
    """The first told form that goes as the piece's own does until section ``target`` and then not; else any other."""
    form = piece.form
    for length in range(target, -1, -1):
        for other in TOLD_FORMS:
            if other[:length] == form[:length] and other[target] != form[target]:
                return other
    raise ValueError(f"no told form differs from {form} at section {target}")


def other_cadence(piece: Piece, target: int) -> Piece:
    """The piece with the cadence before section ``target`` open where it was closed, or closed where it was open."""
    sections = list(piece.sections)
    sections[target - 1] = replace(sections[target - 1], open=not sections[target - 1].open)
    return replace(piece, sections=tuple(sections))


def gains(found: Sequence[Announced], regime: str, returns: bool) -> list[float]:
    """Of each piece: by how much the other announcement makes such sections' first beats dearer."""
    by_piece: dict[int, list[float]] = {}
    for one in found:
        if one.regime == regime and one.returns is returns:
            by_piece.setdefault(one.piece, []).append(one.other - one.true)
    return [float(np.mean(values)) for values in by_piece.values()]
