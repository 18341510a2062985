"""The rule that features are kept by: shares, place, loudness, silence, in this order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.saes.rules import FilterConfig, dropped_by, position

RULE = FilterConfig(fires="fires_at_all")
KEPT = {"fires_at_all": 0.1, "fires_in_5_percent": 0.0, "position": 0.1, "position_null": 0.08, "loudness": 0.2}
KEPT |= {"silence": 0.1}


def dropped(**columns: float) -> str:
    return str(dropped_by(RULE, {name: np.array([value]) for name, value in (KEPT | columns).items()})[0])


def test_the_first_part_that_is_not_met() -> None:
    assert dropped() == ""
    assert dropped(fires_at_all=0.0) == "never fires"
    assert dropped(fires_at_all=0.3) == dropped(fires_at_all=0.005) == "tracks"
    assert dropped(position=0.2) == "position", "0.12 above chance"
    assert dropped(position=0.2, position_null=0.16) == "", "chance has as much"
    assert dropped(loudness=-0.6) == dropped(loudness=0.6) == "loudness"
    assert dropped(silence=0.6) == "silence"
    assert dropped(silence=0.6, fires_at_all=0.3, position=0.9) == "tracks"
    unheard = {name: np.array([value]) for name, value in KEPT.items() if name not in ("loudness", "silence")}
    assert dropped_by(RULE, unheard).tolist() == [""]
    assert dropped_by(replace(RULE, fires="fires_in_5_percent"), unheard).tolist() == ["tracks"]


def test_position_is_the_share_of_variance_between_steps() -> None:
    draw = np.random.default_rng(0)
    rate = np.array([[0.9, 0.3, 1.0, 0.0, 1.0], [0.1, 0.3, 0.0, 0.0, 1.0]])  # [step, feature]
    fired = draw.random((4000, 2, 5)) < rate
    found = position(fired.mean(0))
    for feature in (0, 1):
        own = fired[..., feature]
        assert found[feature] == pytest.approx(own.mean(0).var() / own.var(), abs=1e-6)
    assert found[0] == pytest.approx(0.64, abs=0.03) and found[1] < 0.001
    assert found[2] == pytest.approx(1) and np.isnan(found[3]) and found[4] == 0


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"fires": "often"}, "filter.fires=often: expected one of fires_at_all, fires_in_5_percent"),
        ({"least": 0.5}, "filter.least=0.5 and most=0.25: expected 0 <= least <= most <= 1"),
        ({"position": 2.0}, "filter.position=2: expected 0 to 1"),
    ],
)
def test_a_rule_that_makes_no_sense(values: dict, line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}$"):
        replace(RULE, **values).check("filter")
