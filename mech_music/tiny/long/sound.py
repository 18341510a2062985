"""The sound of planted pieces, by tiny's synthesiser: equal sections are equal samples wherever they stand."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mech_music.tiny import synth
from mech_music.tiny.long.composition import BEATS, FRAMES, Piece, melody_notes
from mech_music.tiny.synth import SAMPLE_RATE

FRAME = 1280
"""Samples of a codec frame: two of tiny's."""
SAMPLES = FRAMES * FRAME
_MELODY, _BASS = 1.0, 0.45
_LOWEST = 33  # MIDI pitch of the bass
__all__ = ["FRAME", "SAMPLES", "SAMPLE_RATE", "render"]


def render(piece: Piece) -> Float[np.ndarray, " sample"]:
    """25.6 s of mono audio at 16 kHz, within ±1. Nothing sounds beyond its own beat, so that no section hears another.

    What is left after the last section of a fast piece is its coda: the tonic for two beats, then silence.
    """
    audio = np.zeros(SAMPLES, np.float32)

    def play(voice: str, midi: int, frame: int, frames: int, gain: float) -> None:
        audio[frame * FRAME : (frame + frames) * FRAME] += gain * synth.note(voice, midi, frames * FRAME // synth.FRAME)

    for section, one in zip(piece.annotated, piece.sections, strict=True):
        for start, frames, midi in melody_notes(one.music, piece.beat):
            play(one.music.instrument, midi, section.start + start, frames, _MELODY)
        for beat in range(BEATS):
            root = one.music.key + one.root(beat)
            play("bass", _bass(root), section.start + beat * piece.beat, piece.beat, _BASS)
    end, last = len(piece.beats) * piece.beat, piece.sections[-1].music
    if end < FRAMES:
        play(last.instrument, last.key, end, 2 * piece.beat, _MELODY)
        play("bass", _bass(last.key), end, 2 * piece.beat, _BASS)
    return np.tanh(0.55 * audio)


def _bass(root: int) -> int:
    return _LOWEST + (root - _LOWEST) % 12
