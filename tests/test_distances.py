"""Kernel distances between sets of clips."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.metrics.distances import kernel_distances


def drawn(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (n, 6))


def test_the_mean_is_the_unbiased_squared_mmd_counted_pair_by_pair() -> None:
    x, y = drawn(4, 0), drawn(5, 1, 0.5)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 6 + 1) ** 3)

    def within(z: np.ndarray) -> float:
        return float(np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]))

    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distances(x, y).mean() == pytest.approx(within(x) + within(y) - 2 * across)


def test_sets_of_one_distribution_are_at_no_distance_on_average() -> None:
    near = [kernel_distances(drawn(12, 2 * n), drawn(12, 2 * n + 1)).mean() for n in range(200)]
    far = [kernel_distances(drawn(12, 2 * n, 0.8), drawn(12, 2 * n + 1)).mean() for n in range(200)]
    assert abs(np.mean(near)) < 4 * np.std(near) / np.sqrt(len(near))
    assert np.mean(far) > 10 * abs(np.mean(near))


def test_one_clip_has_no_distance() -> None:
    assert np.isnan(kernel_distances(drawn(1, 0), drawn(5, 1))).all()
