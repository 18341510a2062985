"""Distances between places: equal to an alignment that is written out, and blind to transposition."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.structure.proposals.alignment import align, unit
from mech_music.structure.proposals.matching import imbalance, matched


def random_parts(n: int, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    first, second = (unit(draw.gamma(0.3, size=(n, steps, 12))) for _ in range(2))
    return first, second


def written_out(cost: np.ndarray, width: int) -> float:
    """The least sum of weights times cells along a path, over both lengths: cell after cell."""
    n = len(cost)
    best = np.full((n, n), np.inf)
    best[0, 0] = 2 * cost[0, 0]
    for i in range(n):
        for j in range(n):
            if abs(i - j) > width or (i, j) == (0, 0):
                continue
            ways = [best[i - 1, j] + cost[i, j]] if i else []
            ways += [best[i, j - 1] + cost[i, j]] if j else []
            ways += [best[i - 1, j - 1] + 2 * cost[i, j]] if i and j else []
            best[i, j] = min(ways)
    return best[-1, -1] / (2 * n)


@pytest.mark.parametrize("steps", [16, 24])
def test_it_is_dynamic_time_warping(steps: int) -> None:
    parts = random_parts(4, steps)
    pairs = np.array([(0, 1), (2, 3), (1, 2)])
    found = align(parts, pairs)
    for (a, b), distance, semitones in zip(pairs, *found, strict=True):
        costs = [
            written_out(1 - np.mean([part[a] @ np.roll(part[b], -shift, 1).T for part in parts], axis=0), steps // 8)
            for shift in range(12)
        ]
        assert distance == pytest.approx(min(costs), abs=1e-5)
        assert semitones % 12 == np.argmin(costs) and -5 <= semitones <= 6
    plain = align(parts[:1], pairs, transposed=False)
    assert plain.distance[0] == pytest.approx(written_out(1 - parts[0][0] @ parts[0][1].T, steps // 8), abs=1e-5)
    assert not plain.semitones.any()


def test_a_transposition_is_found_and_costs_nothing() -> None:
    (first, _), pairs = random_parts(1, 32), np.array([(0, 1)])
    for shift in range(12):
        both = np.concatenate([first, np.roll(first, shift, 2)])
        found = align((both,), pairs)
        assert found.distance[0] == pytest.approx(0, abs=1e-5) and found.semitones[0] % 12 == shift
    late = np.concatenate([first, np.repeat(first, 2, 1)[:, 1:33]])
    assert align((late,), pairs).distance[0] > 0.1, "twice as slow is out of the band"


def test_many_pairs_are_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, pairs = random_parts(6, 16), np.array([(a, b) for a in range(6) for b in range(6)])
    whole = align(parts, pairs)
    monkeypatch.setattr("mech_music.structure.proposals.alignment._AT_ONCE", 5)
    assert np.allclose(align(parts, pairs).distance, whole.distance, atol=1e-6)
    assert len(align(parts, pairs[:0]).distance) == 0


def test_silence_is_like_nothing() -> None:
    quiet = np.zeros((2, 16, 12), np.float32)
    assert align((unit(quiet),), np.array([(0, 1)])).distance[0] == pytest.approx(1)


def test_controls_are_matched_one_by_one() -> None:
    covariates = np.array([[0.0], [1.0], [10.0], [0.1], [9.0], [1.2], [500.0]])
    assert matched(covariates, [0, 1, 2], [3, 4, 5, 6]) == [3, 5, 4]
    assert matched(covariates, [0, 1], [5]) == [None, 5]
    assert matched(covariates, [], [5]) == [] and matched(covariates, [0], []) == [None]
    assert imbalance(covariates[[0, 2]], covariates[[3, 4]])[0] == pytest.approx(
        (5 - 4.55) / np.sqrt((25 + 4.45**2) / 2)
    )
