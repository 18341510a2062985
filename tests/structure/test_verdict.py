"""The verdict: each criterion follows from its numbers, and stays open where nothing was tested."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mech_music.structure.verdict import Criterion, far, slope_by_track, verdict


def lines(
    regime: str, gaps: dict[float, float], p: float, base: float = 0.6
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A table and its summary: one layer, thirty tracks, and by horizon how far AUC is above the one control."""
    random = np.random.default_rng(0)
    table, summary = [], []
    for horizon, gap in gaps.items():
        told = {"regime": regime, "horizon": horizon, "horizons_in": "seconds"}
        for track in range(30):
            noise = random.normal(0, 0.05)
            table.append(told | {"role": "probe", "layer": "2", "index": track, "auc": base + gap + noise})
            table.append(told | {"role": "position", "layer": "", "index": track, "auc": base})
        ends = {"margin": gap, "margin_low": gap - 0.02, "margin_high": gap + 0.02, "over": "position"}
        ends |= {"role": "probe", "layer": "2", "auc": base + gap, "p_above": p, "level": 0.95, "resamples": 200}
        ends |= {"auc_low": base + gap - 0.02, "auc_high": base + gap + 0.02}
        summary.append(told | ends)
    return table, summary


def found(*parts: object, **more: Any) -> dict[str, bool | None]:
    regime, gaps, p = parts
    (own,) = verdict(*lines(regime, gaps, p), **more).values()  # pyright: ignore[reportArgumentType]
    return {one.name: one.holds for one in own}


def test_criteria_follow_from_their_numbers() -> None:
    open_still = dict.fromkeys(("causal", "specific", "auditable"))
    rising = {1.0: 0.0, 5.0: 0.08, 15.0: 0.2}
    assert found("told", rising, 0.01) == {"predicts": True, "far better than near": True, **open_still}
    assert found("told", rising, 0.2)["predicts"] is False, "not marked"
    assert found("told", {1.0: 0.3, 15.0: 0.04}, 0.01) == {
        "predicts": False, "far better than near": False, **open_still,
    }, "near is better, and the gap at a far horizon small"  # fmt: skip
    assert found("told", {1.0: 0.1, 5.0: 0.2}, 0.01)["predicts"] is None, "no far horizon was asked for"
    assert found("told", {15.0: 0.1}, 0.01)["far better than near"] is None
    causal = {"told": {"causal": Criterion("causal", True, "returns lose 5 times what new sections lose")}}
    assert found("told", rising, 0.01, given=causal)["causal"] is True


def test_blind_has_to_find_nothing() -> None:
    """Measured from chance: a control that is above chance itself excuses nothing."""

    def nothing(base: float, gaps: dict[float, float], p: float) -> bool | None:
        (own,) = verdict(*lines("blind", gaps, p, base))["blind"]
        return own.holds

    assert nothing(0.5, {5.0: 0.01, 15.0: -0.01}, 0.5) is True
    assert nothing(0.5, {5.0: 0.0, 15.0: 0.0}, 0.01) is False, "marked"
    assert nothing(0.5, {5.0: 0.1, 15.0: 0.0}, 0.5) is False, "above chance"
    assert nothing(0.5, {5.0: -0.1, 15.0: 0.0}, 0.5) is None, (
        "below chance is no foresight, and not shown to be nothing"
    )
    assert nothing(0.5, {5.0: 0.02, 15.0: 0.0}, 0.5) is None, "intervals reach beyond"
    assert nothing(0.6, {5.0: 0.0, 15.0: 0.0}, 0.5) is False, "no more than the control, which is above chance"


def test_one_site_of_many_may_be_above_chance_by_chance() -> None:
    """Forty sites without anything: one of them has an interval above chance in most draws, and none is found."""
    decided = []
    for seed in range(10):
        random, table, summary = np.random.default_rng(seed), list[dict[str, Any]](), list[dict[str, Any]]()
        for layer in range(40):
            auc = 0.5 + random.normal(0, 0.3, 30)
            told = {"regime": "blind", "horizon": 5.0, "horizons_in": "seconds", "layer": f"{layer}", "role": "probe"}
            table += [told | {"index": track, "auc": value} for track, value in enumerate(auc)]
            half = 2.04 * auc.std(ddof=1) / 30**0.5
            ends = {"margin": 0.0, "margin_low": -0.1, "margin_high": 0.1, "over": "position", "p_above": 1.0}
            ends |= {"auc": auc.mean(), "auc_low": auc.mean() - half, "auc_high": auc.mean() + half, "level": 0.95}
            summary.append(told | ends)
        decided.append(verdict(table, summary)["blind"][0].holds)
    assert decided.count(False) <= 2 and True not in decided


def test_far_horizons() -> None:
    assert far([1, 5, 10, 15], "seconds") == [10, 15] and far([1, 5], "seconds") == []
    assert far([1, 2, 4, 8], "bars") == [4, 8]


def test_slopes_where_tracks_lack_horizons() -> None:
    random, horizons = np.random.default_rng(0), np.array([1.0, 5.0, 15.0])
    values = 0.01 * horizons[:, None] + random.normal(0, 0.1, (3, 40))
    values[2, :15], values[:, 7] = np.nan, np.nan
    own = slope_by_track(horizons, values)
    assert np.isnan(own[7]) and np.isfinite(np.delete(own, 7)).all()
    means = np.nanmean(values, axis=1)
    assert np.nanmean(own) == pytest.approx(np.polyfit(horizons, means, 1)[0], abs=1e-12)
