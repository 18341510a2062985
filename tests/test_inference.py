"""Margins over controls: against independent implementations, and their error rates on data made without an effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mech_music.metrics.inference import margins
from mech_music.metrics.power import power


def one(differences: np.ndarray, flips: int = 4_999):
    (found,) = margins([differences], 200, 0.95, 0, flips)
    return found


def test_p_values_are_those_of_all_flips_counted_by_hand() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, (3, 2, 6))
    found, flat = one(differences), differences.reshape(6, 6)

    def t_of(values: np.ndarray) -> np.ndarray:
        result: Any = stats.ttest_1samp(values, 0, axis=1)
        return np.asarray(result.statistic)

    null = [t_of(flat * np.array(signs)).reshape(3, 2) for signs in product((1, -1), repeat=6)]
    observed = t_of(flat).reshape(3, 2)
    low, high = ([(site, pick(observed[site])) for site in range(3)] for pick in (np.argmin, np.argmax))
    for site, control in low:
        greatest = [max(drawn[at] for at in low) for drawn in null]
        p = np.mean([value >= observed[site, control] - 1e-9 for value in greatest])
        assert found.above[site].max() == found.above[site, control] == pytest.approx(p)
    for site, control in high:
        least = [min(drawn[at] for at in high) for drawn in null]
        p = np.mean([value <= observed[site, control] + 1e-9 for value in least])
        assert found.below[site].max() == found.below[site, control] == pytest.approx(p)
    assert found.mean == pytest.approx(differences.mean(axis=2))


def test_few_units_cost_the_others_nothing_and_are_never_marked() -> None:
    """A site whose clips nearly all failed, and pairs of two to five prompts, beside a table of 32."""
    rng = np.random.default_rng(6)
    clear = rng.normal(1.2, 1, (8, 3, 32))
    alone = one(clear).above.max()
    assert alone <= 0.05
    for n in (2, 3, 4, 5, 8):
        found, small = margins([clear, rng.normal(0, 1, (24, 3, n))], 50, 0.95, 0)
        assert found.above.max() <= 0.1, n
        assert (small.above > 0.05).all(), n
        assert (small.high - small.low > 0).all()
    failed = clear.copy()
    failed[0, :, 3:] = np.nan
    assert one(failed).above[1:].max() <= 0.05 and (one(failed).above[0] == 1).all()


def test_random_flips_agree_with_all_of_them() -> None:
    differences = np.random.default_rng(1).normal(0.4, 1, (4, 2, 12))
    assert one(differences).above == pytest.approx(one(differences, flips=3_000).above, abs=0.04)


def test_missing_values_are_left_out() -> None:
    """A failed clip, and a control that was not run."""
    differences = np.random.default_rng(2).normal(1, 1, (2, 2, 10))
    differences[0, 0, 3], differences[1, 1] = np.nan, np.nan
    found = one(differences)
    assert found.n.tolist() == [[9, 10], [10, 0]]
    assert np.isnan([found.mean[1, 1], found.above[1, 1], found.low[1, 1]]).all()
    assert found.mean[0, 0] == pytest.approx(np.nanmean(differences[0, 0]))
    alone = one(np.delete(differences, 3, axis=2)[:1, :1])
    assert found.low[0, 0] == pytest.approx(alone.low[0, 0], abs=0.3)


def test_one_unit_and_no_spread() -> None:
    assert np.isnan(one(np.ones((1, 1, 1))).above).all()
    same = one(np.ones((1, 1, 8)))
    assert same.low == same.high == same.mean == 1
    assert same.above == pytest.approx(2.0**-8)
    nothing = one(np.zeros((1, 1, 8)))
    assert (nothing.above, nothing.below, nothing.low, nothing.high) == (1, 1, 0, 0)


def test_groups_are_adjusted_together_and_their_order_decides_nothing_else() -> None:
    rng = np.random.default_rng(3)
    strong, nulls = rng.normal(1.2, 1, (1, 1, 20)), [rng.normal(0, 1, (8, 1, 20)) for _ in range(5)]
    alone, among = one(strong).above[0, 0], margins([strong, *nulls], 50, 0.95, 0)[0].above[0, 0]
    assert alone < among < 0.05
    assert margins([], 50, 0.95, 0) == []


@pytest.mark.parametrize(
    "equal", [lambda site: (0,), lambda site: (site % 4,), lambda site: (0, 1), lambda site: range(4)]
)
def test_errors_where_sites_equal_some_of_their_controls(equal: Callable[[int], Sequence[int]]) -> None:
    """24 sites of 4 controls, correlated as in real tables; every site beats its other controls by far."""
    rng, marks, tables = np.random.default_rng(4), 0, 200
    beaten = np.array([[0.0 if control in equal(site) else 4.0 for control in range(4)] for site in range(24)])
    for _ in range(tables):
        effect = rng.normal(0, 1, (24, 1, 20)) + rng.normal(0, 1, (1, 1, 20))
        differences = effect - rng.standard_t(4, (24, 4, 20)) + beaten[..., None]
        marks += (one(differences, flips=399).above <= 0.05).all(axis=1).any()
    assert marks <= 17, "of 200, at 5 %: 10 expected, more than 17 once in a hundred"


def test_an_effect_is_found() -> None:
    rng, found = np.random.default_rng(5), 0
    for _ in range(60):
        differences = rng.normal(0, 2, (8, 3, 32))
        differences[2] += 2.0
        found += (one(differences, flips=399).above[2] <= 0.05).all()
    assert found >= 50


def test_what_is_called_detectable_is_marked_in_four_of_five_tables() -> None:
    """And half of it is not: the number is neither too small nor empty."""
    rng, marked, half = np.random.default_rng(8), 0, 0
    for _ in range(150):
        null = rng.normal(0, 2, (8, 3, 32)) + rng.normal(0, 1, (8, 1, 32))
        site = one(null, flips=399).detectable[2].max()
        for share in (1.0, 0.5):
            shifted = null.copy()
            shifted[2] += share * site
            found = bool((one(shifted, flips=399).above[2] <= 0.05).all())
            marked, half = marked + (found and share == 1.0), half + (found and share == 0.5)
    assert marked >= 0.75 * 150
    assert half <= 0.35 * 150


def test_power_is_that_of_tables_drawn_anew() -> None:
    rng = np.random.default_rng(9)
    pilot = rng.normal(0, 2, (8, 3, 200, 1))
    told = power([pilot], 1.5, 32, 1, 0.95, seed=0)
    drawn = 0
    for _ in range(150):
        differences = rng.normal(0, 2, (8, 3, 32))
        differences[3] += 1.5
        drawn += bool((one(differences, flips=399).above[3] <= 0.05).all())
    assert told == pytest.approx(drawn / 150, abs=0.12)
    assert power([pilot], 0.0, 32, 1, 0.95, seed=0) <= 0.02
    assert power([pilot], 1.5, 100, 1, 0.95, seed=0) > told


def test_sites_without_clips_are_not_drawn() -> None:
    pilot = np.random.default_rng(11).normal(0, 2, (2, 3, 40, 1))
    pilot[1] = np.nan
    assert power([pilot], 0.0, 16, 1, 0.95, seed=0) <= 0.05


def test_more_seeds_help_as_far_as_they_differ() -> None:
    rng = np.random.default_rng(10)
    prompts = rng.normal(0, 1, (4, 2, 60, 1))
    noisy, same = prompts + rng.normal(0, 3, (4, 2, 60, 3)), np.repeat(prompts, 3, axis=3)
    assert power([noisy], 1.5, 24, 3, 0.95, 0) > power([noisy], 1.5, 24, 1, 0.95, 0) + 0.2
    assert power([same], 0.5, 24, 3, 0.95, 0) == pytest.approx(power([same], 0.5, 24, 1, 0.95, 0), abs=0.1)
    with pytest.raises(ValueError, match="one clip of each prompt"):
        power([prompts], 1.0, 10, 2, 0.95, 0)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 3.0), (2, 3.0 / 2**0.5), (3, 3.0 / 3**0.5)])
def test_power_of_more_seeds_is_that_of_less_noise(seeds: int, spread: float) -> None:
    """From a pilot of two seeds, whose clips differ within prompts only."""
    rng = np.random.default_rng(11)
    told = power([rng.normal(0, 3, (4, 2, 80, 2))], 1.6, 24, seeds, 0.95, 0)
    marked = 0
    for _ in range(150):
        differences = rng.normal(0, spread, (4, 2, 24))
        differences[0] += 1.6
        marked += bool((one(differences, flips=399).above[0] <= 0.05).all())
    assert told == pytest.approx(marked / 150, abs=0.13)


def test_a_control_that_was_not_run_at_a_site_costs_no_power() -> None:
    pilot = np.random.default_rng(12).normal(0, 1, (2, 2, 60, 1))
    lacking = pilot.copy()
    lacking[1, 1] = np.nan
    assert power([lacking], 2.0, 24, 1, 0.95, 0) >= 0.95
