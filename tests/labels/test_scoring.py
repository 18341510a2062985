"""Scores of labels, against scikit-learn and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from mech_music.labels.scoring import best_threshold, dealt, resampled, score


@pytest.fixture(params=[2, 7, 1000], ids=lambda n: f"{n} values")
def clips(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(request.param)
    fired = draw.random(90) < 0.4
    return np.floor(request.param * np.clip(draw.normal(0.4 + 0.2 * fired, 0.2), 0, 0.999)), fired


def test_auroc_and_f1_are_scikit_learns(clips: tuple[np.ndarray, np.ndarray]) -> None:
    applies, fired = clips
    threshold = float(np.median(applies))
    found = score(applies, fired, threshold)
    assert found.auroc == pytest.approx(roc_auc_score(fired, applies))
    assert found.f1 == pytest.approx(f1_score(fired, applies >= threshold))
    assert found.n == 90 and np.isnan(found.auroc_low)


def test_the_best_threshold_is_that_of_a_search(clips: tuple[np.ndarray, np.ndarray]) -> None:
    applies, fired = clips
    found = best_threshold(applies, fired)
    best = max(f1_score(fired, applies >= at) for at in applies)
    assert f1_score(fired, applies >= found) == pytest.approx(best) and found in applies


def test_clips_that_were_not_asked_for_are_left_out(clips: tuple[np.ndarray, np.ndarray]) -> None:
    applies, fired = clips
    some = applies.copy()
    some[::3] = np.nan
    known = np.isfinite(some)
    assert score(some, fired, 1.0).auroc == pytest.approx(roc_auc_score(fired[known], applies[known]))
    assert best_threshold(some, fired) == best_threshold(applies[known], fired[known])
    assert np.isnan(best_threshold(np.full(3, np.nan), np.array([True, False, True])))


def test_resamples_are_recomputed_by_repeating_clips(clips: tuple[np.ndarray, np.ndarray]) -> None:
    applies, fired = clips
    weights = resampled(np.repeat(np.arange(45), 2), 30, 1)
    assert (weights[:, ::2] == weights[:, 1::2]).all(), "clips of one prompt together"
    assert (weights.sum(axis=1) == 90).all()
    drawn = [np.repeat(np.arange(90), w.astype(int)) for w in weights]
    found = score(applies, fired, 1.0, weights)
    for name, each in {
        "auroc": [roc_auc_score(fired[one], applies[one]) for one in drawn],
        "f1": [f1_score(fired[one], applies[one] >= 1) for one in drawn],
    }.items():
        ends = np.percentile(each, [2.5, 97.5])
        assert (getattr(found, f"{name}_low"), getattr(found, f"{name}_high")) == pytest.approx(tuple(ends)), name


def test_intervals_cover() -> None:
    """The AUROC of two normal distributions one standard deviation apart is Φ(1 / √2) = .7602."""
    draw, covered = np.random.default_rng(0), 0
    for trial in range(150):
        fired = draw.random(80) < 0.5
        found = score(draw.normal(fired, 1.0), fired, 0.5, resampled(np.arange(80), 150, trial))
        covered += found.auroc_low <= 0.7602 <= found.auroc_high
    assert covered >= 0.88 * 150


def test_nothing_to_tell_is_not_a_number() -> None:
    found = score(np.arange(4.0), np.zeros(4, bool), 2.0)
    assert np.isnan(found.auroc) and np.isnan(found.f1)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_labels_are_dealt_to_other_features(n: int) -> None:
    orders = dealt(n, 5, 0)
    assert len(orders) == min(5, n - 1)
    for order in orders:
        assert sorted(order) == list(range(n)) and (order != np.arange(n)).all()
    assert len({tuple(order) for order in orders}) == len(orders)
