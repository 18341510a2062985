"""What a forecast is asked: at this moment of a piece, is the music so much later a return? Rows (piece, t, δ).

A moment t is a beat on which something begins, in any section but the first (no section before it is over, so nothing
can return as far as has been heard). The music at t + δ must be of a *later* section than t: within one section the
label would be read off what sounds already. The label is that of the section at t + δ, and that moment
must not be in its cadence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Int

from mech_music.base.errors import UserError
from mech_music.structure.pieces.annotated import AnnotatedPiece


class Clock(StrEnum):
    """What horizons are counted in."""

    seconds = "seconds"
    beats = "beats"
    bars = "bars"


USUAL = {
    Clock.seconds: (1.0, 3.0, 5.0, 10.0, 15.0, 25.0),
    Clock.beats: (1.0, 2.0, 4.0, 8.0, 16.0, 24.0),
    Clock.bars: (1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
}
"""Horizons that are asked for where none are named, as far as pieces go."""


@dataclass(frozen=True)
class Rows:
    """One horizon's rows, each with where it stands; ``beat`` is counted through all pieces, one after the other.

    ``section``, ``later``: the numbers of the sections at t and at t + δ. ``into``: beats since the section at t began.
    """

    piece: Int[np.ndarray, " row"]
    beat: Int[np.ndarray, " row"]
    section: Int[np.ndarray, " row"]
    later: Int[np.ndarray, " row"]
    into: Int[np.ndarray, " row"]
    seconds: Float[np.ndarray, " row"]
    returns: Bool[np.ndarray, " row"]

    def __len__(self) -> int:
        return len(self.piece)

    def __getitem__(self, chosen: np.ndarray) -> Rows:
        return Rows(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def rows_at(pieces: Sequence[AnnotatedPiece], horizon: float, clock: Clock, least: int) -> Rows:
    """All rows of a horizon, at moments with ``least`` frames or more before them."""
    found, before = [], 0
    for number, piece in enumerate(pieces):
        sections = _sections(piece)
        for beat, frame in enumerate(piece.beats):
            there = _later(piece, beat, horizon, clock)
            fresh = beat == 0 or frame > piece.beats[beat - 1]
            if there is None or not fresh or frame < max(1, least):
                continue
            here, later = sections[frame], sections[there]
            if 0 < here < later and there in piece.sections[later].proper:
                into = beat - bisect_left(piece.beats, piece.sections[here].start)
                returns = piece.sections[later].kind.returns
                found.append((number, before + beat, here, later, into, frame / piece.frame_rate, returns))
        before += len(piece.beats)
    columns = zip(*found, strict=True) if found else [()] * 7
    types = (int, int, int, int, int, float, bool)
    return Rows(*(np.array(column, kind) for column, kind in zip(columns, types, strict=True)))


def _sections(piece: AnnotatedPiece) -> list[int]:
    """The number of the section of each frame; −1 between sections."""
    found = [-1] * piece.n_frames
    for number, section in enumerate(piece.sections):
        found[section.start : section.end] = [number] * (section.end - section.start)
    return found


def _later(piece: AnnotatedPiece, beat: int, horizon: float, clock: Clock) -> int | None:
    """The frame that is so much later than a beat; None beyond the piece."""
    if clock is Clock.seconds:
        frame = piece.beats[beat] + round(horizon * piece.frame_rate)
        return frame if frame < piece.n_frames else None
    to = beat + int(horizon)
    if clock is Clock.bars:
        first = [bisect_left(piece.beats, frame) for frame in piece.bars]
        bar = bisect_right(first, beat) - 1
        if bar < 0 or bar + int(horizon) >= len(first):
            return None
        to = first[bar + int(horizon)] + beat - first[bar]
        if to >= [*first, len(piece.beats)][bar + int(horizon) + 1]:  # a bar of fewer beats
            return None
    return piece.beats[to] if to < len(piece.beats) else None


def length_of(piece: AnnotatedPiece, clock: Clock) -> float:
    """How long a piece is. UserError where its bars are not known."""
    if clock is Clock.seconds:
        return piece.n_frames / piece.frame_rate
    if clock is Clock.bars and not piece.bars:
        raise UserError(f"horizons_in=bars: the bars of piece '{piece.name}' are not known; use beats or seconds")
    return float(len(piece.bars if clock is Clock.bars else piece.beats))


def horizons_of(
    pieces: Sequence[AnnotatedPiece], asked: Sequence[float], clock: Clock, least: int
) -> dict[float, Rows]:
    """The rows of each horizon that is asked for, or of the usual ones that every piece is longer than and that have
    any. UserError for one that reaches beyond a piece, or leaves no row."""
    shortest = min(pieces, key=lambda piece: length_of(piece, clock))
    length = length_of(shortest, clock)
    if beyond := [one for one in asked if one >= length]:
        raise UserError(
            f"horizons: {beyond[0]:g} {clock} reach beyond piece '{shortest.name}', which has {length:g} {clock}: use "
            "shorter ones, or leave shorter pieces out"
        )
    found = {one: rows_at(pieces, one, clock, least) for one in asked or USUAL[clock] if one < length}
    if empty := [one for one in asked if not len(found[one])]:
        raise UserError(
            f"horizons: no moment after the first section has another section {empty[0]:g} {clock} later: use shorter "
            "ones"
        )
    if not any(map(len, found.values())):
        raise UserError(f"horizons_in={clock}: none of {USUAL[clock]} leads from one section to a later one")
    return {one: rows for one, rows in found.items() if len(rows)}
