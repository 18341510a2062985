"""Whether labels say where features fire, on clips that neither were chosen by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Score:
    """Of one label for one feature; the ends of AUROC's interval and of F1's, NaN without. ``n``: clips."""

    auroc: float
    f1: float
    auroc_low: float = np.nan
    auroc_high: float = np.nan
    f1_low: float = np.nan
    f1_high: float = np.nan
    n: int = 0


def best_threshold(applies: Float[np.ndarray, " clip"], fired: Bool[np.ndarray, " clip"]) -> float:
    """The smallest value from which on ``applies`` says with the largest F1 where the feature fires."""
    known = np.isfinite(applies)
    values = np.unique(applies[known])
    if not len(values):
        return np.nan
    order = np.argsort(applies[known], kind="stable")
    above = np.append(np.cumsum(fired[known][order][::-1])[::-1], 0)  # firing clips from each place on
    first = np.searchsorted(applies[known][order], values)
    f1 = 2 * above[first] / (len(order) - first + fired[known].sum())
    return float(values[int(np.argmax(f1))])


def score(
    applies: Float[np.ndarray, " clip"],
    fired: Bool[np.ndarray, " clip"],
    threshold: float,
    weights: Float[np.ndarray, "resample clip"] | None = None,
    level: float = 0.95,
) -> Score:
    """AUROC of ``applies`` for whether the feature fires (ties count half), and F1 from ``threshold`` on.

    ``weights``: how often each resample has each clip (`resampled`), for percentile intervals.
    """
    known = np.isfinite(applies)
    applies, fired = applies[known], fired[known]
    one = np.ones((1, len(applies)))
    auroc, f1 = _aurocs(applies, fired, one)[0], _f1s(applies >= threshold, fired, one)[0]
    if weights is None:
        return Score(float(auroc), float(f1), n=len(applies))
    ends = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    drawn = [found(weights[:, known]) for found in (lambda w: _aurocs(applies, fired, w),
                                                    lambda w: _f1s(applies >= threshold, fired, w))]  # fmt: skip
    bounds = [np.percentile(x[np.isfinite(x)], ends) if np.isfinite(x).any() else (np.nan, np.nan) for x in drawn]
    (low, high), (f1_low, f1_high) = bounds
    return Score(float(auroc), float(f1), float(low), float(high), float(f1_low), float(f1_high), len(applies))


def resampled(units: Int[np.ndarray, " clip"], resamples: int, seed: int) -> Float[np.ndarray, "resample clip"]:
    """How often each resample has each clip, where units (prompts, tracks) are drawn with all of their clips."""
    names, place = np.unique(units, return_inverse=True)
    draw = np.random.default_rng(seed)
    return draw.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)[:, place].astype(float)


def dealt(n: int, deals: int, seed: int) -> Int[np.ndarray, "deal feature"]:
    """Whose label each feature is dealt, never its own."""
    draw = np.random.default_rng(seed)
    shifts = draw.permutation(np.arange(1, n))[:deals] if n > 1 else np.zeros(0, int)
    order = draw.permutation(n)
    found = np.empty((len(shifts), n), int)
    for deal, shift in enumerate(shifts):
        found[deal, order] = np.roll(order, shift)
    return found


def _aurocs(
    values: Float[np.ndarray, " clip"], positive: Bool[np.ndarray, " clip"], weights: Float[np.ndarray, "resample clip"]
) -> Float[np.ndarray, " resample"]:
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(values[order]) > 0))
    own, other = (
        np.add.reduceat(weights[:, order] * chosen[order], starts, axis=1) for chosen in (positive, ~positive)
    )
    below = np.cumsum(other, axis=1) - other / 2
    return _ratio((own * below).sum(axis=1), own.sum(axis=1) * other.sum(axis=1))


def _f1s(
    said: Bool[np.ndarray, " clip"], fired: Bool[np.ndarray, " clip"], weights: Float[np.ndarray, "resample clip"]
) -> Float[np.ndarray, " resample"]:
    both, total = weights @ (said & fired), weights @ said + weights @ fired
    return np.where(weights @ fired > 0, _ratio(2 * both, total), np.nan)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(len(under), np.nan), where=under > 0)
