"""Scores by track: their means are scikit-learn's scores, their spread is that of a bootstrap over tracks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from mech_music.structure.forecast.scores import by_track, reliability


def forecasts(n_tracks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tracks of unequal length whose rows are alike."""
    random = np.random.default_rng(seed)
    track = np.repeat(np.arange(n_tracks), random.integers(2, 9, n_tracks))
    lean = random.normal(0, 1, n_tracks)[track]
    y = random.random(len(track)) < 1 / (1 + np.exp(-lean))
    p = 1 / (1 + np.exp(-(lean + random.normal(0, 1.5, len(track)))))
    return p.round(2), y, track % 3, track


def test_means_over_tracks_are_the_scores() -> None:
    p, y, fold, track = forecasts(40)
    tracks, found = by_track(p, y, np.zeros_like(fold), track)
    assert tracks.tolist() == list(range(40))
    assert found["auc"].mean() == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert found["f1"].mean() == pytest.approx(f1_score(y, p >= 0.5), abs=1e-12)
    assert found["brier"].mean() == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    bins = reliability(p, y)
    ece = sum(n * abs(probability - share) for probability, share, n in bins) / len(p)
    assert found["ece"].mean() == pytest.approx(ece, abs=1e-12)


def test_auc_compares_rows_of_one_fold_only() -> None:
    p, y, fold, track = forecasts(40)
    moved = p + 10.0 * fold  # folds whose fits lean differently
    plain, other = (by_track(one, y, fold, track)[1]["auc"].mean() for one in (p, moved))
    assert plain == pytest.approx(other, abs=1e-12)
    pairs = [(y[fold == one].sum() * (~y[fold == one]).sum(), roc_auc_score(y[fold == one], p[fold == one]))
             for one in range(3)]  # fmt: skip
    assert plain == pytest.approx(sum(n * auc for n, auc in pairs) / sum(n for n, _ in pairs), abs=1e-12)


@pytest.mark.parametrize("name", ["auc", "f1", "brier"])
def test_the_spread_is_that_of_drawing_tracks(name: str) -> None:
    p, y, fold, track = forecasts(60, seed=1)
    values = by_track(p, y, fold, track)[1][name]
    random, drawn = np.random.default_rng(0), []
    rows = [np.flatnonzero(track == one) for one in range(60)]
    for _ in range(300):
        chosen = random.integers(60, size=60)
        at, as_track = (
            np.concatenate([rows[one] for one in chosen]),
            np.repeat(np.arange(60), [len(rows[c]) for c in chosen]),
        )
        drawn.append(by_track(p[at], y[at], fold[at], as_track)[1][name].mean())
    assert values.std(ddof=1) / np.sqrt(60) == pytest.approx(np.std(drawn), rel=0.2)
