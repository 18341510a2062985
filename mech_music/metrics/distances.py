"""How far a set of edited clips is from another set of clips: kernel distances between embeddings.

The kernel inception distance (Bińkowski, Sutherland, Arbel, Gretton 2018): the squared maximum mean discrepancy
(Gretton et al. 2012) with the kernel ``(x·y / channels + 1)³``. Its estimate is unbiased at any number of clips, where
Fréchet distances of some dozen clips mostly measure how few they are. Clips of one prompt are alike whatever is done to
them: they are never compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

if TYPE_CHECKING:
    from mech_music.tasks.interchange.declared import Heard


def kernel_distances(
    clips: Float[np.ndarray, "clip channel"],
    others: Float[np.ndarray, "other channel"],
    prompts: Sequence[str],
    other_prompts: Sequence[str],
) -> Float64[np.ndarray, " clip"]:
    """One value for each clip, whose mean is the squared MMD and whose spread is that of the edited set.

    The MMD is ``mean k(x, x') − 2 · mean k(x, y) + mean k(y, y')``, over clips of different prompts. A clip's value
    adds to it twice its own ``mean k(x, x') − mean k(x, y)`` less their mean (its influence), so that an interval of
    the mean is one for other edited clips, with the other set as it is. Negative means are chance around zero. NaN
    where a clip has none to be compared with.
    """
    own, their = np.asarray(prompts), np.asarray(other_prompts)
    within = _masked(_kernel(clips, clips), own, own)
    across = _masked(_kernel(clips, others), own, their)
    beside = _masked(_kernel(others, others), their, their)
    if not all(np.isfinite(part).any(axis=1).all() for part in (within, across, beside)):
        return np.full(len(clips), np.nan)
    nearer = np.nanmean(within, axis=1) - np.nanmean(across, axis=1)
    distance = np.nanmean(within) - 2.0 * np.nanmean(across) + np.nanmean(beside)
    return distance + 2.0 * (nearer - nearer.mean())


def _masked(kernel: Float64[np.ndarray, "a b"], prompts: np.ndarray, others: np.ndarray) -> Float64[np.ndarray, "a b"]:
    return np.where(prompts[:, None] == others, np.nan, kernel)


def _kernel(x: Float[np.ndarray, "a channel"], y: Float[np.ndarray, "b channel"]) -> Float64[np.ndarray, "a b"]:
    return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1.0) ** 3


def distance_to_desired(heard: Heard) -> Float64[np.ndarray, " clip"]:
    """From the unedited clips of the desired concept: 0 where edited clips are like them."""
    prompts, wanted = [prompt.text for prompt in heard.prompts], heard.wanted["embedding"]["embedding"]
    return kernel_distances(
        heard.readings["embedding"][1]["embedding"], wanted, prompts, [f"desired {at}" for at in range(len(wanted))]
    )


def distance_to_unedited(heard: Heard) -> Float64[np.ndarray, " clip"]:
    """From the same clips without the edit: exactly 0 on average where nothing was edited."""
    prompts = [prompt.text for prompt in heard.prompts]
    before, after = (reading["embedding"] for reading in heard.readings["embedding"])
    return kernel_distances(after, before, prompts, prompts)
