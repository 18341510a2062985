"""Planted pieces as sound: returns, transposed returns and decoys of the symbolic corpus, by the synthesiser.

One return in three is played by another instrument, so that there are re-orchestrated returns as well.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from mech_music.models.symbolic import pieces as symbolic
from mech_music.models.symbolic.sound import SAMPLE_RATE, render
from mech_music.structure.pieces.annotated import Kind, Section
from mech_music.structure.proposals.separation import HeardPiece
from mech_music.tiny import synth

_FRAME_RATE = SAMPLE_RATE / synth.FRAME
_OTHER_VOICES = ("violin", "flute", "trumpet", "guitar")


def planted_piece(seed: int, index: int) -> HeardPiece:
    """Piece number ``index`` of the symbolic corpus of ``seed``; its sections in frames of the synthesiser."""
    piece, random = symbolic.compose(seed, index), Random(f"voices {seed}/{index}")
    bar = max(min(note.position + note.length, symbolic.GRID.positions) for note in piece.notes)
    frames = bar * symbolic.GRID.position_frames * symbolic.SECTION_BARS
    sections, sounds = [], []
    for number, planned in enumerate(piece.sections):
        kind, grid = Kind(planned.kind.value), symbolic.GRID
        if kind.returns and random.random() < 1 / 3:
            kind = Kind.reorchestrated
            melody = replace(grid.tracks[symbolic.MELODY], voice=random.choice(_OTHER_VOICES))
            grid = replace(grid, tracks=(melody, *grid.tracks[1:]))
        sections.append(Section(number * frames, (number + 1) * frames, kind, planned.source, planned.semitones))
        first = number * symbolic.SECTION_BARS
        own = [note.moved(bars=-first) for note in piece.notes if first <= note.bar < first + symbolic.SECTION_BARS]
        sounds.append(render(own, grid, frames * synth.FRAME))
    return HeardPiece(f"{seed}/{index}", np.concatenate(sounds), SAMPLE_RATE, tuple(sections), _FRAME_RATE)
