"""How good forecasts are, with what each track contributes: means over tracks are the scores themselves.

AUC, F1 and errors of calibration are no means over tracks, but smooth functions of sums over tracks. Each track's value
here is the score plus the track's influence on it times the number of tracks, so that the mean over tracks is exactly
the score and the values' spread is its standard error (the infinitesimal jackknife; for AUC with clustered data:
Obuchowski, Biometrics 1997). Intervals and sign flips over tracks can be taken of them as of any other measure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mech_music.metrics.metric import Metric

AUC = Metric("auc", "", "P(a row that returns is given more than one that does not), within folds", "AUC")
F1 = Metric("f1", "", "F1 of returns, told at a probability of one half", "F1")
BRIER = Metric("brier", "", "mean squared error of the probability", "Brier score")
ECE = Metric("ece", "", "how far probabilities are from shares, mean over ten bins of rows", "calibration error")
SCORES = (AUC, F1, BRIER, ECE)
_BINS = 10


def by_track(
    p: Float[np.ndarray, " row"],
    y: Bool[np.ndarray, " row"],
    fold: Int[np.ndarray, " row"],
    track: Int[np.ndarray, " row"],
) -> tuple[Int[np.ndarray, " track"], dict[str, Float[np.ndarray, " track"]]]:
    """The tracks with rows, and by name of the score each one's value, whose mean is the score.

    AUC compares rows of one fold only: forecasts of different folds come from different fits. There has to be a row of
    each class in some fold.
    """
    tracks, own = np.unique(track, return_inverse=True)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(own, values, len(tracks))

    def share(over: np.ndarray, under: np.ndarray, degree: int = 1) -> np.ndarray:
        """``Σ over ÷ Σ under`` over tracks, as a value of each. ``degree``: how many rows each term is of."""
        score = over.sum() / under.sum()
        return score + degree * len(tracks) * (over - score * under) / under.sum()

    said, each = p >= 0.5, np.ones(len(p))
    concordant, pairs = _pairs(p, y, fold)
    false = sums((said != y).astype(float))
    hits = 2 * sums((said & y).astype(float))
    return tracks, {
        "auc": share(sums(concordant), sums(pairs), degree=2),
        "f1": share(hits, hits + false),
        "brier": share(sums((p - y) ** 2), sums(each)),
        "ece": share(sums(_off(p, y)), sums(each)),
    }


def _pairs(
    p: Float[np.ndarray, " row"], y: Bool[np.ndarray, " row"], fold: Int[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Of each row: with how many rows of the other class (and its fold) it is in the right order, and how many there
    are. Equal probabilities are half in order."""
    right, all_pairs = np.zeros(len(p)), np.zeros(len(p))
    for one in np.unique(fold):
        at = fold == one
        positive, negative = np.sort(p[at & y]), np.sort(p[at & ~y])
        for own, others, sign in ((at & y, negative, 1), (at & ~y, positive, -1)):
            below = np.searchsorted(others, p[own], "left"), np.searchsorted(others, p[own], "right")
            half = (below[0] + below[1]) / 2
            right[own] = half if sign > 0 else len(others) - half
            all_pairs[own] = len(others)
    return right, all_pairs


def reliability(
    p: Float[np.ndarray, " row"], y: Bool[np.ndarray, " row"], bins: int = _BINS
) -> list[tuple[float, float, int]]:
    """Bins of as many rows each, by probability: mean probability, share that returns, rows."""
    parts: Sequence[np.ndarray] = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    return [(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts]


def _off(p: Float[np.ndarray, " row"], y: Bool[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """What each row adds to the calibration error: its own error, with the sign of its bin's."""
    off = np.zeros(len(p))
    for part in np.array_split(np.argsort(p, kind="stable"), min(_BINS, len(p))):
        error = p[part] - y[part]
        off[part] = error * np.sign(error.sum())
    return off
