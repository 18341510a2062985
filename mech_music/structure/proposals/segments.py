"""Places of recordings as arrays that are compared: their pitch step by step, and the texture that they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from mech_music.base.errors import UserError
from mech_music.structure.proposals.alignment import unit
from mech_music.structure.proposals.descriptors import Described

Spans = Float64[np.ndarray, "segment 2"]
"""Start and end of places, seconds."""


@dataclass(frozen=True)
class Segments:
    """``track``: the number of the recording that each is of; ``chroma`` and ``melody``: unit vectors; ``timbre``:
    means and standard deviations of cepstra; ``loudness``: mean dB."""

    spans: Spans
    track: Int[np.ndarray, " segment"]
    chroma: Float32[np.ndarray, "segment step 12"]
    melody: Float32[np.ndarray, "segment step 12"]
    timbre: Float32[np.ndarray, "segment statistic"]
    loudness: Float32[np.ndarray, " segment"]

    @property
    def pitch(self) -> tuple[Float32[np.ndarray, "segment step 12"], ...]:
        """Harmony and melody, which are aligned together."""
        return self.chroma, self.melody

    def texture_between(self, pairs: Int[np.ndarray, "pair 2"]) -> Float64[np.ndarray, "pair 2"]:
        """How unlike the textures of two segments are: of timbre (root mean square, in standard deviations over all
        segments) and of loudness (dB)."""
        scale = self.timbre.std(0) + 1e-6
        apart = (self.timbre[pairs[:, 0]] - self.timbre[pairs[:, 1]]) / scale
        louder = np.abs(self.loudness[pairs[:, 0]] - self.loudness[pairs[:, 1]])
        return np.stack([np.sqrt((apart**2).mean(1)), louder], 1).astype(np.float64)


def cut(recordings: Sequence[Described], spans: Sequence[Spans], steps: int, centred: bool = True) -> Segments:
    """The places of each recording, each in so many steps whatever its length: tempo makes no difference.

    UserError for a place that is empty, or outside its recording.
    """
    for described, some in zip(recordings, spans, strict=True):
        wrong = (some[:, 0] < 0) | (some[:, 1] <= some[:, 0]) | (some[:, 1] > described.seconds + 0.5)
        if wrong.any():
            start, end = some[wrong][0]
            raise UserError(f"place {start:.2f} to {end:.2f} s: this recording has {described.seconds:.2f} s")
    every = list(zip(recordings, spans, strict=True))
    timbre = [(_steps(one.timbre, one.rate, some, 1), _steps(one.timbre**2, one.rate, some, 1)) for one, some in every]
    means, squares = (np.concatenate(parts)[:, 0] for parts in zip(*timbre, strict=True))
    return Segments(
        np.concatenate(spans),
        np.repeat(np.arange(len(spans)), [len(some) for some in spans]),
        unit(np.concatenate([_steps(one.chroma, one.rate, some, steps) for one, some in every]), centred),
        unit(np.concatenate([_steps(one.melody, one.rate, some, steps) for one, some in every]), centred),
        np.concatenate([means, np.sqrt(np.maximum(squares - means**2, 0))], 1).astype(np.float32),
        np.concatenate([_steps(one.loudness[:, None], one.rate, some, 1)[:, 0, 0] for one, some in every]),
    )


def fixed_grid(seconds: float, length: float, hop: float) -> Spans:
    """Places of ``length`` seconds, one every ``hop``. UserError for a recording with room for fewer than two apart."""
    if not 0 < hop <= length:
        raise UserError(f"hop={hop:g}: expected more than 0 and at most the places' {length:g} s")
    if seconds < 2 * length:
        raise UserError(f"a recording of {seconds:.2f} s has no two places of {length:g} s: choose shorter ones")
    starts = np.arange(int((seconds - length) / hop + 1e-9) + 1) * hop
    return np.stack([starts, starts + length], 1)


def beat_grid(beats: Sequence[float], n_beats: int, every: int) -> Spans:
    """Places of ``n_beats`` beats, one every so many. UserError for fewer than two apart."""
    if len(beats) < 2 * n_beats + 1:
        raise UserError(f"{len(beats)} beats have no two places of {n_beats} beats: choose shorter ones")
    firsts = np.arange(0, len(beats) - n_beats, every)
    found = np.asarray(beats, np.float64)
    return np.stack([found[firsts], found[firsts + n_beats]], 1)


def _steps(
    values: Float[np.ndarray, "frame value"], rate: float, spans: Spans, steps: int
) -> Float32[np.ndarray, "segment step value"]:
    """Means over equal parts of each place; frames that two parts share count by their share."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0, dtype=np.float64)])
    edges = spans[:, :1] + (spans[:, 1:] - spans[:, :1]) * np.linspace(0, 1, steps + 1)
    at = (edges * rate).clip(0, len(values))
    whole = np.minimum(at.astype(int), len(values) - 1)
    sums = total[whole] + (at - whole)[..., None] * values[whole]
    width = np.maximum(np.diff(at, axis=1), 1e-6)[..., None]
    return (np.diff(sums, axis=1) / width).astype(np.float32)
