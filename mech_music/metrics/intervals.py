"""Means over prompts, with intervals that are right at few prompts.

The prompt is the unit that is resampled. One draw of prompts serves every metric and condition measured on the same
prompts, so that intervals of one table can be compared and differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import ndtri, stdtrit

LEAST = 4
"""Too many resamples of fewer units hold one unit alone: their intervals are Student's."""


class Interval(NamedTuple):
    """A mean and its interval; ``n`` prompts had a value."""

    mean: float
    low: float
    high: float
    n: int


class Intervals(NamedTuple):
    """The same for several metrics at once, each array ``[metric]``."""

    mean: Float64[np.ndarray, " metric"]
    low: Float64[np.ndarray, " metric"]
    high: Float64[np.ndarray, " metric"]
    n: Float64[np.ndarray, " metric"]


def mean_intervals(
    values: Float[np.ndarray, "prompt metric"], resamples: int, level: float, seed: int, shares: Sequence[bool] = ()
) -> Intervals:
    """Means over prompts with bootstrap-t intervals (`student_interval`), one draw of prompts for all metrics.

    A NaN marks a prompt without a value (a failed clip): it is left out of the mean, of every resample and of
    ``n``, and the other prompts stay paired. Fewer than two values give no interval (NaN). ``shares``: which metrics
    are means of yes and no; theirs are Wilson's (1927), which have a width even where all prompts agree.
    ValueError for an empty level or no resamples.
    """
    if values.ndim != 2 or values.shape[0] < 1:
        raise ValueError(f"values must be [prompt, metric], at least one prompt, not {values.shape}")
    n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    mean = ratio(np.nan_to_num(values).sum(axis=0, dtype=np.float64), n)
    low, high = student_interval(values, resamples, level, seed)
    if any(shares):
        wilson = _wilson(np.where(shares, mean, np.nan), n, level)
        low, high = (np.where(shares, ours, other) for ours, other in zip(wilson, (low, high), strict=True))
    enough = n >= 2
    return Intervals(mean, np.where(enough, low, np.nan), np.where(enough, high, np.nan), n)


def mean_interval(values: Float[np.ndarray, " prompt"], resamples: int, level: float, seed: int) -> Interval:
    """``mean_intervals`` of one metric."""
    mean, low, high, n = mean_intervals(np.asarray(values, dtype=np.float64)[:, None], resamples, level, seed)
    return Interval(float(mean[0]), float(low[0]), float(high[0]), int(n[0]))


def student_interval(
    values: Float[np.ndarray, "unit column"], resamples: int, level: float, seed: int
) -> tuple[Float64[np.ndarray, " column"], Float64[np.ndarray, " column"]]:
    """Bootstrap-t intervals of the means over units (Efron and Tibshirani 1993, section 12.5).

    The quantiles of ``(mean of a resample − mean) / its standard error`` take the place of Student's, so that the
    interval is right for skewed values and few units; with fewer than `LEAST` they are Student's. NaN marks a unit
    without a value; fewer than two have no interval.
    """
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"a bootstrap needs resamples ≥ 1 and 0 < level < 1, not {resamples} and {level}")
    tail, draws = (1.0 - level) / 2.0, _draws(len(values), resamples, seed)
    present = (~np.isnan(values)).astype(np.float64)
    n = present.sum(axis=0)
    mean = ratio(np.nan_to_num(values).sum(axis=0, dtype=np.float64), n)
    # Far from zero a variance would be the small difference of large squares.
    centred = np.nan_to_num(values - mean)
    error = standard_error(n, ratio(centred.sum(axis=0), n), (centred**2).sum(axis=0))
    drawn = draws @ present if not present.all() else np.full((1, 1), float(len(values)))
    shift = ratio(draws @ centred, drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = shift / standard_error(drawn, shift, draws @ centred**2)
        student = stdtrit(n - 1.0, 1.0 - tail)
    bounds = _quantiles(ratios, (1.0 - tail, tail))
    bounds = np.where(n < LEAST, [student, -student], bounds)
    bounds[:, error == 0] = 0.0
    low, high = (np.where(n >= 2, mean - bound * error, np.nan) for bound in bounds)
    return low, high


def _quantiles(
    ratios: Float64[np.ndarray, "resample column"], at: tuple[float, float]
) -> Float64[np.ndarray, "2 column"]:
    """Over the resamples that have a ratio: one unit alone, drawn again and again, has no standard error."""
    good = np.isfinite(ratios)
    if good.all():
        return np.quantile(ratios, at, axis=0)
    columns = [column[own] for column, own in zip(ratios.T, good.T, strict=True)]
    return np.stack([np.quantile(own, at) if own.size else np.full(2, np.nan) for own in columns], axis=1)


def standard_error(n: np.ndarray, mean: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Standard errors of means over ``n`` values, from the sums of their squares."""
    spread = np.maximum(squares - n * mean**2, 0.0)
    spread[spread <= 1e-12 * squares] = 0.0  # rounding, where all values are the same
    return np.sqrt(ratio(spread, n * (n - 1.0)))


def mean_of_measured(values: np.ndarray, axis: int) -> np.ndarray:
    """Means along an axis over what is not NaN; NaN where nothing is."""
    return ratio(np.nan_to_num(values).sum(axis=axis), (~np.isnan(values)).sum(axis=axis))


def ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(np.broadcast_shapes(over.shape, under.shape), np.nan), where=under > 0)


@lru_cache(maxsize=8)
def _draws(n_units: int, resamples: int, seed: int) -> Float64[np.ndarray, "resample unit"]:
    """How often each resample takes each unit: a function of these three numbers alone."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), resamples).astype(np.float64)


def _wilson(
    share: Float64[np.ndarray, " metric"], n: Float64[np.ndarray, " metric"], level: float
) -> tuple[Float64[np.ndarray, " metric"], Float64[np.ndarray, " metric"]]:
    z, some = float(ndtri((1.0 + level) / 2.0)), np.where(n > 0, n, np.nan)
    centre = (share + z**2 / (2.0 * some)) / (1.0 + z**2 / some)
    width = z * np.sqrt(share * (1.0 - share) / some + z**2 / (4.0 * some**2)) / (1.0 + z**2 / some)
    return centre - width, centre + width
