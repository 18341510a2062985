"""How far two places are from being the same music: dynamic time warping, over all transpositions, many pairs at once.

Steps to the side cost their cell once and diagonal ones twice, so every path has the same weight, and the distance is a
mean over the path whatever its length (symmetric form of Sakoe and Chiba 1978).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int64

from mech_music.structure.proposals.descriptors import N_CLASSES

_AT_ONCE = 256  # pairs in memory


class Alignment(NamedTuple):
    """Of each pair: the least mean cost of a path (0 the same, about 1 unrelated, at most 2), and the transposition
    from the first place to the second that has it, from −5 to 6 semitones."""

    distance: Float32[np.ndarray, " pair"]
    semitones: Int64[np.ndarray, " pair"]


def unit(
    features: Float[np.ndarray, "*segment step 12"], centred: bool = True
) -> Float32[np.ndarray, "*segment step 12"]:
    """Steps as unit vectors; ``centred``: less the segment's own mean, so that what it has throughout (its key, a
    drone) makes nothing alike. Steps without sound are zero, and cost 1 against any."""
    if centred:
        features = features - features.mean(-2, keepdims=True)
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    floor = 0.1 * np.sqrt((length**2).mean(-2, keepdims=True)) + 1e-9
    return (features / np.maximum(length, floor)).astype(np.float32)


def align(
    parts: tuple[Float32[np.ndarray, "segment step 12"], ...],
    pairs: Int[np.ndarray, "pair 2"],
    transposed: bool = True,
    band: float = 0.125,
) -> Alignment:
    """The pairs of segments (unit vectors by pitch class in each of ``parts``, which count alike) as `Alignment`.

    ``transposed``: over all 12 transpositions, else as they are. ``band``: how far apart two steps may be that are
    matched, in lengths of a segment.
    """
    shifts = np.arange(N_CLASSES if transposed else 1)
    width = max(1, round(band * parts[0].shape[1]))
    distances = [
        _distances(parts, pairs[first : first + _AT_ONCE], shifts, width) for first in range(0, len(pairs), _AT_ONCE)
    ]
    distance = np.concatenate(distances) if distances else np.empty((0, len(shifts)), np.float32)
    best = distance.argmin(1)
    return Alignment(distance[np.arange(len(best)), best], (best + 5) % N_CLASSES - 5)


def _distances(
    parts: tuple[Float32[np.ndarray, "segment step 12"], ...],
    pairs: Int[np.ndarray, "pair 2"],
    shifts: Int[np.ndarray, " shift"],
    width: int,
) -> Float32[np.ndarray, "pair shift"]:
    rolled = (np.arange(N_CLASSES) - shifts[:, None]) % N_CLASSES
    alike = np.zeros(1, np.float32)
    for part in parts:
        first = part[pairs[:, 0]][:, :, rolled]  # [pair, step, shift, class]
        second = np.pad(part[pairs[:, 1]], ((0, 0), (width, width), (0, 0)))
        window = np.lib.stride_tricks.sliding_window_view(second, 2 * width + 1, axis=1)  # [pair, step, class, offset]
        alike = alike + first @ window
    return _warp(np.moveaxis(1 - alike / len(parts), 1, 0))


def _warp(cost: Float32[np.ndarray, "step pair shift offset"]) -> Float32[np.ndarray, "pair shift"]:
    """The least mean cost within the band. Cell (i, j) stands at offset j − i + width; anti-diagonal after
    anti-diagonal, of which each has every other offset."""
    n, width = len(cost), cost.shape[-1] // 2
    never = np.full(cost.shape[1:], np.inf, np.float32)
    before, last = never, never.copy()
    last[..., width] = 2 * cost[0, ..., width]
    for diagonal in range(1, 2 * n - 1):
        now = np.full_like(never, np.inf)
        offsets = np.array([
            at for at in range(2 * width + 1)
            if (diagonal + at - width) % 2 == 0 and 0 <= (diagonal - at + width) // 2 < n
            and 0 <= (diagonal + at - width) // 2 < n
        ])  # fmt: skip
        here = np.moveaxis(cost[(diagonal - offsets + width) // 2, ..., offsets], 0, -1)
        padded = np.pad(last, ((0, 0), (0, 0), (1, 1)), constant_values=np.inf)
        side = np.minimum(padded[..., offsets], padded[..., offsets + 2])  # from (i, j − 1) and (i − 1, j)
        now[..., offsets] = np.minimum(side + here, before[..., offsets] + 2 * here)
        before, last = last, now
    return last[..., width] / (2 * n)
