"""What conditions say together: sites chosen on other prompts, slopes, means over pairs that share prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mech_music.results.across import across
from mech_music.tasks.interchange.columns import AXES, INTERCHANGE, METRICS

N = 32
_EFFECT, _PRECISION = METRICS.index("effectiveness"), METRICS.index("precision")


def condition(role: str = "technique", **own: Any) -> tuple[Any, ...]:
    plain = dict.fromkeys(AXES, "") | {"task": "interchange", "strength": 1.0, "layer": "0", "role": role}
    return tuple((plain | own)[name] for name in AXES)


def measured(effect: np.ndarray, precision: float = -1.0) -> np.ndarray:
    values = np.zeros((len(effect), len(METRICS)))
    values[:, _EFFECT], values[:, _PRECISION] = effect, precision
    return values


def found(
    values: Mapping[tuple[Any, ...], np.ndarray], resamples: int = 199
) -> dict[tuple[Any, ...], dict[str, float]]:
    return across(INTERCHANGE, values, resamples, 0.95, 0)


def sweep(rng: np.random.Generator, sites: int, effect: float) -> dict[tuple[Any, ...], np.ndarray]:
    """Sites beside their controls; the first has an effect."""
    values = {condition("noise", layer="", strength=np.nan): measured(rng.normal(0, 2, N))}
    for site in range(sites):
        moved = rng.normal(effect if site == 0 else 0.0, 2, N)
        values[condition(layer=str(site))] = measured(moved)
        values[condition("random", layer=str(site))] = measured(rng.normal(0, 2, N))
    return values


def test_the_best_of_many_sites_is_not_flattered_on_prompts_that_did_not_choose_it() -> None:
    rng, flattered, held_out, covered = np.random.default_rng(0), [], [], 0
    for _ in range(100):
        values = sweep(rng, 24, 0.0)
        noise = next(iter(values.values()))[:, _EFFECT].mean()
        worst = [
            values[condition(layer=str(at))][:, _EFFECT].mean()
            - max(noise, values[condition("random", layer=str(at))][:, _EFFECT].mean())
            for at in range(24)
        ]
        told = found(values)[condition()]
        flattered.append(max(worst))
        held_out.append(told["selected_margin"])
        covered += told["selected_margin_low"] <= 0.0
    assert np.mean(flattered) > 0.3, "nothing to correct"
    assert np.mean(held_out) < 0.1
    assert covered >= 90


def test_a_clear_best_site_is_chosen_in_every_fold() -> None:
    told = found(sweep(np.random.default_rng(1), 8, 4.0))
    assert [told[condition(layer=str(at))]["chosen"] for at in (0, 1)] == pytest.approx([1.0, 0.0])
    best = told[condition()]
    assert best["selected_margin_low"] < 4.0 < best["selected_margin_high"] + 1.0
    assert best["selected_margin_low"] > 1.0
    many = sweep(np.random.default_rng(1), 8, 4.0)
    many[condition(layer="together")] = measured(np.full(N, 20.0))
    assert found(many)[condition()] == best, "all layers at once are not a site"
    one = found(sweep(np.random.default_rng(1), 1, 4.0))
    assert "chosen" not in one.get(condition(), {})


def test_slopes_are_those_of_each_prompt() -> None:
    rng, doses = np.random.default_rng(2), (1.0, 2.0, 4.0)
    rise = rng.normal(1.5, 0.5, N)
    values = {}
    for dose in doses:
        values[condition(strength=dose)] = measured(rise * dose + rng.normal(0, 0.3, N))
        values[condition("random", strength=dose)] = measured(0.4 * dose + rng.normal(0, 0.3, N))
        values[condition("self", strength=dose)] = measured(rng.normal(0, 0.3, N))
    told = found(values)[condition(strength=2.0)]
    every = np.array([values[condition(strength=dose)][:, _EFFECT] for dose in doses])
    by_hand = [np.polynomial.Polynomial.fit(doses, own, 1).convert().coef[1] for own in every.T]
    assert told["slope"] == pytest.approx(np.mean(by_hand))
    assert told["slope_low"] < 1.5 < told["slope_high"]
    assert told["slope_margin"] == pytest.approx(told["slope"] - 0.4, abs=0.05), "over the steepest control"
    assert "slope" not in found({condition(): values[condition(strength=1.0)]}).get(condition(), {})


def test_means_over_pairs_that_share_prompts_are_covered() -> None:
    """Four pairs of three concepts: two share every original clip, and contexts move all of them together."""
    rng, covered, tables, told = np.random.default_rng(3), 0, 400, dict[str, float]()
    pairs = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")]
    for _ in range(tables):
        context = rng.normal(0, 1, N)
        clips = {name: context + rng.normal(0, 1, N) for name in "abc"}
        values = {
            condition(original=one, desired=two): measured(0.7 - clips[one] + rng.normal(0, 1, N)) for one, two in pairs
        }
        told = found(values)[condition(original="a", desired="b")]
        covered += told["pooled_effectiveness_low"] <= 0.7 <= told["pooled_effectiveness_high"]
    assert 0.93 <= covered / tables <= 0.97
    assert told["pooled_precision"] == -1.0
    assert not found({condition(original="a"): measured(np.ones(N))}).get(condition(original="a"))


def test_means_over_pairs_whose_prompts_are_partly_others_are_covered() -> None:
    """As where pairs leave out what names their desired concept: of 48 prompts each pair has 32."""
    rng, covered, tables, effects = np.random.default_rng(4), 0, 400, (0.2, 1.2, 0.7)
    for _ in range(tables):
        shared, values = rng.normal(0, 1, 48), {}
        for place, effect in enumerate(effects):
            own = np.full(48, np.nan)
            kept = rng.choice(48, N, replace=False)
            own[kept] = effect + shared[kept] + rng.normal(0, 0.5, N)
            values[condition(original="a", desired="bcd"[place])] = measured(own)
        told = found(values)[condition(original="a", desired="b")]
        means = [np.nanmean(one[:, _EFFECT]) for one in values.values()]
        assert told["pooled_effectiveness"] == pytest.approx(np.mean(means))
        covered += told["pooled_effectiveness_low"] <= 0.7 <= told["pooled_effectiveness_high"]
    assert 0.92 <= covered / tables <= 0.98


def test_a_control_of_some_pairs_only_is_not_pooled() -> None:
    pairs = [("a", "b"), ("a", "c"), ("b", "a")]
    values = {condition(original=one, desired=two): measured(np.ones(N)) for one, two in pairs}
    values |= {condition("other", original=one, desired=two): measured(np.zeros(N)) for one, two in pairs[:2]}
    values |= {condition("random", original=one, desired=two): measured(np.zeros(N)) for one, two in pairs}
    told = found(values)
    assert "pooled_effectiveness" not in told.get(condition("other", original="a", desired="b"), {})
    assert told[condition("random", original="a", desired="b")]["pooled_effectiveness"] == 0.0


def test_a_control_that_is_the_effect_itself_chooses_nothing() -> None:
    values = sweep(np.random.default_rng(5), 4, 4.0)
    keys = {axes: frozenset([str(place)]) for place, axes in enumerate(values)}
    keys[condition("random", layer="0")] = keys[condition()]
    values[condition("random", layer="0")] = values[condition()]
    told = across(INTERCHANGE, values, 99, 0.95, 0, keys)[condition()]
    assert told["selected_margin"] > 2.0, "over the noise floor: its random is no control"
    failed = dict(values)
    failed[condition("random", layer="1")] = np.full_like(values[condition()], np.nan)
    assert "chosen" not in across(INTERCHANGE, failed, 99, 0.95, 0, keys).get(condition(layer="1"), {})
