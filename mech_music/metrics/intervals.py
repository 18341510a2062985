"""Means over prompts, with paired bootstrap intervals.

The prompt is the unit that is resampled. One draw of prompts serves every metric and condition measured on
the same prompts, so that intervals of one table can be compared and differences are paired.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64


class Interval(NamedTuple):
    """A mean and its percentile interval; ``n`` prompts had a value."""

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


@lru_cache(maxsize=8)
def _draws(n_prompts: int, resamples: int, seed: int) -> Float64[np.ndarray, "resample prompt"]:
    """How often each resample takes each prompt: a function of these three numbers alone."""
    indices = np.random.default_rng(seed).integers(0, n_prompts, (resamples, n_prompts))
    flat = indices + n_prompts * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * n_prompts).reshape(resamples, n_prompts)
    return counts.astype(np.float64)


def bootstrap_means(values: Float[np.ndarray, "prompt metric"], resamples: int, level: float, seed: int) -> Intervals:
    """Means over prompts with percentile intervals, one draw of prompts for all metrics.

    A NaN marks a prompt without a value (a failed clip): it is left out of the mean, of every resample and of
    ``n``, and the other prompts stay paired. Fewer than two values give no interval (NaN).
    ValueError for an empty level or no resamples.
    """
    if values.ndim != 2 or values.shape[0] < 1:
        raise ValueError(f"values must be [prompt, metric], at least one prompt, not {values.shape}")
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"a bootstrap needs resamples ≥ 1 and 0 < level < 1, not {resamples} and {level}")
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0).astype(np.float64)
    n = present.sum(axis=0).astype(np.float64)
    draws = _draws(len(values), resamples, seed)
    counts = draws @ present.astype(np.float64) if not present.all() else np.full((1, 1), float(len(values)))
    means = np.divide(draws @ filled, counts, out=np.full((resamples, len(n)), np.nan), where=counts > 0)
    tail = (1.0 - level) / 2.0
    low, high = _quantiles(means, (tail, 1.0 - tail))
    enough = n >= 2
    mean = np.divide(filled.sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    return Intervals(mean, np.where(enough, low, np.nan), np.where(enough, high, np.nan), n)


def _quantiles(
    means: Float64[np.ndarray, "resample metric"], at: tuple[float, float]
) -> Float64[np.ndarray, "2 metric"]:
    """Quantiles over the resamples that hold any value."""
    if not np.isnan(means).any():
        return np.quantile(means, at, axis=0)
    columns = [column[~np.isnan(column)] for column in means.T]
    return np.stack([np.quantile(c, at) if c.size else np.full(2, np.nan) for c in columns], axis=1)


def bootstrap_mean(values: Float[np.ndarray, " prompt"], resamples: int, level: float, seed: int) -> Interval:
    """``bootstrap_means`` of one metric."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    mean, low, high, n = bootstrap_means(column, resamples, level, seed)
    return Interval(float(mean[0]), float(low[0]), float(high[0]), int(n[0]))
