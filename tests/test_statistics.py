"""Intervals of means: how often they cover, few and equal values, shares, and the pairing of one table's."""

import numpy as np
import pytest
import scipy.stats

from mech_music.metrics.intervals import mean_interval, mean_intervals


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(1).normal(1.0, 2.0, 100)


@pytest.mark.parametrize("n", [10, 20, 40, 100])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_cover_the_true_mean_as_often_as_they_say(n: int, skewed: bool) -> None:
    """Also that of an exponential, which percentile intervals cover in 88 % of samples of ten."""
    rng = np.random.default_rng(n)
    drawn = rng.exponential(1, (n, 2_000)) - 1 if skewed else rng.normal(0, 1, (n, 2_000))
    found = mean_intervals(drawn, 999, 0.95, 0)
    assert 0.93 <= ((found.low <= 0) & (found.high >= 0)).mean() <= 0.97


def test_many_values_have_students_interval(values: np.ndarray) -> None:
    ours = mean_interval(values, resamples=20_000, level=0.9, seed=5)
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert ours.mean == pytest.approx(values.mean()) and ours.n == 100
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.03), pytest.approx(theirs.high, abs=0.03))


@pytest.mark.parametrize("n", [2, 3])
def test_few_values_have_exactly_students_interval(n: int) -> None:
    few = np.array([1.0, 2.0, 4.0])[:n]
    ours, theirs = mean_interval(few, 100, 0.95, 0), scipy.stats.ttest_1samp(few, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


@pytest.mark.parametrize(("n", "hits"), [(10, 10), (10, 9), (40, 0), (7, 3)])
def test_shares_have_wilsons_interval(n: int, hits: int) -> None:
    """Ten of ten is not certainty: the interval has a width."""
    clips = (np.arange(n) < hits).astype(float)
    found = mean_intervals(np.stack([clips, clips], axis=1), 500, 0.95, 0, shares=[True, False])
    theirs = scipy.stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (found.low[0], found.high[0]) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert found.mean[0] == found.mean[1] == hits / n


def test_same_seed_same_interval(values: np.ndarray) -> None:
    assert mean_interval(values, 200, 0.95, 1) == mean_interval(values, 200, 0.95, 1)
    assert mean_interval(values, 200, 0.95, 1) != mean_interval(values, 200, 0.95, 2)


def test_metrics_share_their_resampled_prompts(values: np.ndarray) -> None:
    """A shifted copy's interval is shifted by as much: only so when the prompts drawn are the same."""
    together = mean_intervals(np.stack([values, values + 7.0], axis=1), 300, 0.95, 3)
    assert together.low[1] - together.low[0] == pytest.approx(7.0)
    alone = mean_interval(values + 7.0, 300, 0.95, 3)
    assert (alone.low, alone.high) == (pytest.approx(together.low[1]), pytest.approx(together.high[1]))


def test_failed_clips_are_left_out_and_counted(values: np.ndarray) -> None:
    holed = values.copy()
    holed[[3, 50]] = np.nan
    interval = mean_interval(holed, 500, 0.95, 0)
    assert interval.n == 98
    assert interval.mean == pytest.approx(np.nanmean(holed))
    assert interval.low < interval.mean < interval.high


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_give_no_interval(n: int) -> None:
    values = np.full(5, np.nan)
    values[:n] = 2.0
    interval = mean_interval(values, 200, 0.95, 0)
    assert interval.n == n
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.mean == 2.0 if n else np.isnan(interval.mean)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="resamples ≥ 1 and 0 < level < 1"):
        mean_interval(np.zeros(3), 100, 95.0, 0)
    with pytest.raises(ValueError, match="at least one prompt"):
        mean_intervals(np.zeros((0, 2)), 10, 0.9, 0)
