"""Notes as sound, by the synthesiser of the bundled models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from mech_music.models.symbolic.notes import Grid, Note
from mech_music.tiny import synth

SAMPLE_RATE = synth.SAMPLE_RATE
_LOUDNESS = {"melody": 0.5, "bass": 0.45}
_LONGEST = 25  # frames of the synthesiser: a string has died away, and fewer sounds are kept


def render(notes: Sequence[Note], grid: Grid, n_samples: int) -> Float32[np.ndarray, " sample"]:
    """Mono audio within ±1, cut or filled with silence to ``n_samples``.

    A bar lasts as long as the note that reaches furthest in any bar, so three-four has no gaps.
    """
    audio = np.zeros(n_samples, dtype=np.float32)
    per_position = grid.position_frames * synth.FRAME
    bar = max((min(note.position + note.length, grid.positions) for note in notes), default=0)
    for note in notes:
        track = grid.tracks[note.track]
        start = (note.bar * bar + note.position) * per_position
        if start >= n_samples:
            continue
        sound = synth.note(track.voice, note.pitch, min(note.length * grid.position_frames, _LONGEST))
        part = sound[: n_samples - start]
        audio[start : start + len(part)] += _LOUDNESS.get(track.name, 0.4) * part
    return np.tanh(audio).astype(np.float32)
