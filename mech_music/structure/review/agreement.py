"""How far reviewers agree beyond chance, on the pairs that each of them decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from mech_music.base.errors import UserError
from mech_music.metrics.intervals import Interval
from mech_music.structure.review.decisions import Decision

_KINDS = list(Decision)


class Agreement(NamedTuple):
    """Of two reviewers on ``n`` pairs: the share of equal decisions, Cohen's kappa, and Krippendorff's alpha (nominal).

    Percentile intervals over recordings, which are drawn with replacement. ``counts``: the first reviewer's decisions
    down, the second's to the right.
    """

    n: int
    same: Interval
    kappa: Interval
    alpha: Interval
    counts: Int[np.ndarray, "decision decision"]


def agreement(
    first: Mapping[str, Decision],
    second: Mapping[str, Decision],
    recording_of: Mapping[str, str],
    resamples: int = 2000,
    level: float = 0.95,
) -> Agreement:
    """On the pairs that both decided. UserError where there is none."""
    both = [pair for pair in first if pair in second and pair in recording_of]
    if not both:
        raise UserError("these reviewers decided no pair in common: nothing can be said of how far they agree")
    recordings = sorted({recording_of[pair] for pair in both})
    counts = np.zeros((len(recordings), len(_KINDS), len(_KINDS)))
    for pair in both:
        place = recordings.index(recording_of[pair]), _KINDS.index(first[pair]), _KINDS.index(second[pair])
        counts[place] += 1
    n = len(recordings)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples)
    drawn = np.tensordot(draws, counts, 1)
    total = counts.sum(0)
    same, kappa, alpha = (
        _with_interval(measure(total[None])[0], measure(drawn), n, level) for measure in (_same, cohen, krippendorff)
    )
    return Agreement(len(both), same, kappa, alpha, total.astype(int))


def cohen(counts: Float64[np.ndarray, "table k k"]) -> Float64[np.ndarray, " table"]:
    """(observed − expected agreement) / (1 − expected), expected from each reviewer's own shares (Cohen 1960). NaN
    where both only ever say one thing."""
    total = counts.sum((1, 2))
    expected = (counts.sum(1) * counts.sum(2)).sum(1) / total**2
    return _beyond(1 - _same(counts), 1 - expected)


def krippendorff(counts: Float64[np.ndarray, "table k k"]) -> Float64[np.ndarray, " table"]:
    """1 − observed / expected disagreement, expected from what both say together, of two values drawn without
    replacement (Krippendorff 2004, nominal data without gaps)."""
    shares, n = counts.sum(1) + counts.sum(2), 2 * counts.sum((1, 2))
    expected = (shares * (n[:, None] - shares)).sum(1) / (n * (n - 1))
    return _beyond(1 - _same(counts), expected)


def _same(counts: Float64[np.ndarray, "table k k"]) -> Float64[np.ndarray, " table"]:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))


def _beyond(observed: Float64[np.ndarray, " table"], expected: Float64[np.ndarray, " table"]) -> np.ndarray:
    return 1 - np.divide(observed, expected, out=np.full(observed.shape, np.nan), where=expected > 0)


def _with_interval(value: float, drawn: Float64[np.ndarray, " resample"], n: int, level: float) -> Interval:
    """Over one recording there is no interval."""
    known: Sequence[float] = drawn[np.isfinite(drawn)].tolist()
    if n < 2 or not known:
        return Interval(float(value), np.nan, np.nan, n)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), n)
