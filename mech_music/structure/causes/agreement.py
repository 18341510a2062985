"""How near what a model wrote for a return is to the section that should return: notes for notes, tokens for sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int

from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.notes import Note
from mech_music.structure.causes.places import root_of
from mech_music.structure.pieces.annotated import AnnotatedPiece

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_SHIFTS = range(-12, 13)  # semitones
_MELODY = 0  # the track


def agreement(
    generator: Generator, piece: AnnotatedPiece, number: int, codes: Int[np.ndarray, "codebook frame"]
) -> tuple[float, float]:
    """Of what ``codes`` have in the place of section ``number``: agreement with its source, and the mean agreement with
    the other earlier sections (of other music; NaN where there is none).

    Of notes: F1 of the melody's (bar of the section, position, pitch), at the best transposition by up to an octave. Of
    other tokens: the share of equal ones in the first codebook, at the best alignment by up to a beat. Cadences
    are left out.
    """
    section = piece.sections[number]
    assert section.source is not None
    others = [place for place in range(number) if root_of(piece, place) != root_of(piece, number)]
    if isinstance(generator, SymbolicGenerator):
        n_bars = sum(bar in section.proper for bar in piece.bars)
        own, *near_to = (_melody(generator, codes, piece, place, n_bars) for place in (number, section.source, *others))
        near = [melody_f1(own, other) for other in near_to]
    else:
        beat = max(1, int(np.median(np.diff(piece.beats)))) if len(piece.beats) > 1 else 1
        first = codes[0]
        near = [
            token_agreement(first[section.start : section.proper.stop], first, piece.sections[place].start, beat)
            for place in (section.source, *others)
        ]
    return near[0], float(np.mean(near[1:])) if others else np.nan


def melody_f1(found: set[tuple[int, int, int]], wanted: set[tuple[int, int, int]]) -> float:
    """F1 of (bar, position, pitch) at the best transposition; 0 where either is empty."""
    most = max(len({(bar, at, pitch + shift) for bar, at, pitch in found} & wanted) for shift in _SHIFTS)
    return 2.0 * most / (len(found) + len(wanted)) if found and wanted else 0.0


def token_agreement(
    found: Int[np.ndarray, " frame"], whole: Int[np.ndarray, " other"], start: int, reach: int
) -> float:
    """The share of ``found`` that is equal to as many tokens of ``whole`` from ``start`` on, moved by up to ``reach``
    frames: the highest."""
    starts = [at for at in range(start - reach, start + reach + 1) if at >= 0 and at + len(found) <= len(whole)]
    return max((float((found == whole[at : at + len(found)]).mean()) for at in starts), default=np.nan)


def _melody(
    generator: SymbolicGenerator, codes: np.ndarray, piece: AnnotatedPiece, number: int, n_bars: int
) -> set[tuple]:
    """The melody of a section's first bars (of all of it where no bars are known); they are counted from its first."""
    section = piece.sections[number]
    before = _notes(generator, codes[:, : section.start])
    own = _notes(generator, codes if n_bars else codes[:, : section.end])[len(before) :]
    first = own[0].bar if own else 0
    kept = [note for note in own if note.track == _MELODY and not (n_bars and note.bar >= first + n_bars)]
    return {(note.bar - first, note.position, note.pitch) for note in kept}


def _notes(generator: SymbolicGenerator, codes: np.ndarray) -> Sequence[Note]:
    return generator.notes(torch.from_numpy(codes[None]).long())[0] if codes.shape[1] else []
