"""Kernel distances between sets of clips."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.metrics.distances import kernel_distances


def drawn(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (n, 6))


def named(n: int, kind: str) -> list[str]:
    return [f"{kind} {at}" for at in range(n)]


def between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return kernel_distances(x, y, named(len(x), "x"), named(len(y), "y"))


def test_the_mean_is_the_unbiased_squared_mmd_counted_pair_by_pair() -> None:
    x, y = drawn(4, 0), drawn(5, 1, 0.5)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 6 + 1) ** 3)

    def within(z: np.ndarray) -> float:
        return float(np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]))

    across = np.mean([k(a, b) for a in x for b in y])
    assert between(x, y).mean() == pytest.approx(within(x) + within(y) - 2 * across)


def test_sets_of_one_distribution_are_at_no_distance_on_average() -> None:
    near = [between(drawn(12, 2 * n), drawn(12, 2 * n + 1)).mean() for n in range(200)]
    far = [between(drawn(12, 2 * n, 0.8), drawn(12, 2 * n + 1)).mean() for n in range(200)]
    assert abs(np.mean(near)) < 4 * np.std(near) / np.sqrt(len(near))
    assert np.mean(far) > 10 * abs(np.mean(near))


def test_no_edit_is_no_distance() -> None:
    """A clip is not compared with itself, nor with another one of its prompt."""
    clips, prompts = drawn(12, 3), named(12, "x")
    assert kernel_distances(clips, clips, prompts, prompts).mean() == pytest.approx(0, abs=1e-12)
    twice = np.repeat(clips, 2, axis=0)
    two = kernel_distances(twice, twice, [p for p in prompts for _ in range(2)], [p for p in prompts for _ in range(2)])
    assert two.mean() == pytest.approx(0, abs=1e-12)


def test_the_spread_is_that_of_the_edited_set() -> None:
    """The standard error of the mean is the spread of distances of sets drawn anew, with one other set."""
    other = drawn(200, 1)
    found = [between(drawn(30, 10 + n, 0.4), other) for n in range(300)]
    told = np.mean([one.std(ddof=1) / np.sqrt(30) for one in found])
    assert told == pytest.approx(np.std([one.mean() for one in found]), rel=0.25)


def test_one_clip_has_no_distance() -> None:
    assert np.isnan(between(drawn(1, 0), drawn(5, 1))).all()
