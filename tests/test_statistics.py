"""Bootstrap intervals against SciPy's, and the pairing that makes them comparable."""

import numpy as np
import pytest
import scipy.stats

from mech_music.metrics.intervals import bootstrap_mean, bootstrap_means


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(1).normal(1.0, 2.0, 100)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_is_scipys_percentile_bootstrap(values: np.ndarray, level: float) -> None:
    ours = bootstrap_mean(values, resamples=2000, level=level, seed=5)
    rng = np.random.default_rng(5)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=2000, confidence_level=level, method="percentile", rng=rng
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert ours.n == 100


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(0.0, 1.0, (100, 400))
    intervals = bootstrap_means(draws, resamples=500, level=0.95, seed=0)
    covered = ((intervals.low < 0) & (intervals.high > 0)).mean()
    assert 0.91 < covered < 0.98


def test_same_seed_same_interval(values: np.ndarray) -> None:
    assert bootstrap_mean(values, 200, 0.95, 1) == bootstrap_mean(values, 200, 0.95, 1)
    assert bootstrap_mean(values, 200, 0.95, 1) != bootstrap_mean(values, 200, 0.95, 2)


def test_metrics_share_their_resampled_prompts(values: np.ndarray) -> None:
    """A shifted copy's interval is shifted by as much: only so when the prompts drawn are the same."""
    together = bootstrap_means(np.stack([values, values + 7.0], axis=1), 300, 0.95, 3)
    assert together.low[1] - together.low[0] == pytest.approx(7.0)
    alone = bootstrap_mean(values + 7.0, 300, 0.95, 3)
    assert (alone.low, alone.high) == (pytest.approx(together.low[1]), pytest.approx(together.high[1]))


def test_failed_clips_are_left_out_and_counted(values: np.ndarray) -> None:
    holed = values.copy()
    holed[[3, 50]] = np.nan
    interval = bootstrap_mean(holed, 500, 0.95, 0)
    assert interval.n == 98
    assert interval.mean == pytest.approx(np.nanmean(holed))
    assert interval.low < interval.mean < interval.high


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_give_no_interval(n: int) -> None:
    values = np.full(5, np.nan)
    values[:n] = 2.0
    interval = bootstrap_mean(values, 200, 0.95, 0)
    assert interval.n == n
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.mean == 2.0 if n else np.isnan(interval.mean)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="resamples ≥ 1 and 0 < level < 1"):
        bootstrap_mean(np.zeros(3), 100, 95.0, 0)
    with pytest.raises(ValueError, match="at least one prompt"):
        bootstrap_means(np.zeros((0, 2)), 10, 0.9, 0)
