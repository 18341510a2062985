"""How far a set of edited clips is from other sets of clips: kernel distances between embeddings.

The kernel inception distance (Bińkowski, Sutherland, Arbel, Gretton 2018): the squared maximum mean discrepancy
(Gretton et al. 2012) with the kernel ``(x·y / channels + 1)³``. Its estimate is unbiased at any number of clips, where
Fréchet distances of some dozen clips mostly measure how few they are; and it is a mean over clips, which has intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

if TYPE_CHECKING:
    from mech_music.tasks.interchange.declared import Heard


def kernel_distances(
    clips: Float[np.ndarray, "clip channel"], others: Float[np.ndarray, "other channel"]
) -> Float64[np.ndarray, " clip"]:
    """What each clip adds to the distance of its set from another: their mean is the unbiased squared MMD.

    ``mean k(x, x') − 2 · mean k(x, y) + mean k(y, y')``, x' and y' other clips of the same set. Negative values are
    chance around zero. NaN for sets of fewer than two clips.
    """
    if min(len(clips), len(others)) < 2:
        return np.full(len(clips), np.nan)
    within, across, beside = _kernel(clips, clips), _kernel(clips, others), _kernel(others, others)
    own = (within.sum(axis=1) - np.diagonal(within)) / (len(clips) - 1)
    theirs = (beside.sum() - np.trace(beside)) / (len(others) * (len(others) - 1))
    return own - 2.0 * across.mean(axis=1) + theirs


def _kernel(x: Float[np.ndarray, "a channel"], y: Float[np.ndarray, "b channel"]) -> Float64[np.ndarray, "a b"]:
    return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1.0) ** 3


def distance_to_desired(heard: Heard) -> Float64[np.ndarray, " clip"]:
    """From the unedited clips of the desired concept: 0 where edited clips are like them."""
    return kernel_distances(heard.readings["embedding"][1]["embedding"], heard.wanted["embedding"]["embedding"])


def distance_to_unedited(heard: Heard) -> Float64[np.ndarray, " clip"]:
    """From the same clips without the edit: 0 where an edit changes no more than another choice of prompts does."""
    before, after = (reading["embedding"] for reading in heard.readings["embedding"])
    return kernel_distances(after, np.unique(before, axis=0))
