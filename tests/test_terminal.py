"""What a person sees: every effect beside its controls, at the width of the terminal."""

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.results.tables import EQUAL, summarise
from mech_music.results.terminal import terminal_table
from mech_music.tasks.interchange.controls import beside_controls
from tests.made_up_results import made_up_table


def _summary(**axes) -> pd.DataFrame:
    return summarise(made_up_table(**axes), resamples=100, level=0.95, seed=0)


def _shown(summary: pd.DataFrame, width: int = 100) -> str:
    console = Console(width=width, file=StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(summary, width))
    return capture.get()


def test_each_effect_meets_its_own_controls() -> None:
    summary = _summary(components=["mlp", "sa"])
    beside = beside_controls(summary)
    assert len(beside) == 10
    for _, line in beside.iterrows():
        same = (summary["component"] == line["component"]) & (summary["layer"] == line["layer"])
        for control in ("self", "random"):
            expected = summary[same & (summary["role"] == control)]["effectiveness_low"].item()
            assert line[f"{control}_effectiveness_low"] == expected
    noise = summary[summary["role"] == "noise"]["effectiveness"].item()
    assert (beside["noise_effectiveness"] == noise).all()


def test_a_control_written_once_serves_every_technique() -> None:
    summary = _summary(techniques=["adjust", "replace"])
    beside = beside_controls(summary.query("not (role == 'self' and technique == 'adjust')"))
    adjusted = beside[beside["technique"] == "adjust"]["self_effectiveness"]
    replaced = beside[beside["technique"] == "replace"]["self_effectiveness"]
    np.testing.assert_array_equal(adjusted, replaced)


def test_a_control_is_found_under_its_own_name_and_at_its_own_strength() -> None:
    weak, strong = made_up_table(), made_up_table().assign(strength=2.0)
    strong.loc[strong["role"] == "random", "effectiveness"] += 9.0
    both = pd.concat([weak, strong])
    beside = beside_controls(
        summarise(both.assign(technique=both["technique"].mask(both["role"] == "self", "self")), 50, 0.95, 0)
    )
    assert (beside["random_effectiveness"] > 4).tolist() == (beside["strength"] == 2.0).tolist()


def test_verdict_is_paired_and_against_every_control() -> None:
    table = made_up_table()
    assert beside_controls(summarise(table, 50, 0.95, 0))["verdict"].tolist() == [EQUAL, 1, 1, 1, 1]
    # One control as high as the effect is enough to take the mark away.
    high = (table["role"] == "random") & (table["layer"] == "2")
    table.loc[high, "effectiveness"] += 2.0
    beside = beside_controls(summarise(table, 50, 0.95, 0))
    assert beside["verdict"].tolist() == [EQUAL, 1, 0, 1, 1]
    assert beside["over"].tolist()[2] == "random"
    layer = (table["layer"] == "2").to_numpy()
    of = {
        role: table.loc[layer & (table["role"] == role), "effectiveness"].to_numpy() for role in ("technique", "random")
    }
    assert beside["margin"].tolist()[2] == pytest.approx((of["technique"] - of["random"]).mean())
    low = (table["role"] == "technique") & (table["layer"] == "0")
    table.loc[low, "effectiveness"] -= 5.0
    assert beside_controls(summarise(table, 50, 0.95, 0))["verdict"].tolist() == [-1, 1, 0, 1, 1]


def test_a_verdict_pays_for_the_sites_beside_it() -> None:
    """The same effect is marked alone, and not among many sites without one."""
    many = made_up_table(layers=tuple(map(str, range(30))))
    many.loc[many["role"] == "technique", "effectiveness"] -= many["layer"].replace("", "0").astype(float)
    many.loc[(many["role"] == "technique") & (many["layer"] == "7"), "effectiveness"] += 0.6
    alone = beside_controls(summarise(many.query("layer in ['7', '']"), 50, 0.95, 0)).set_index("layer")
    among = beside_controls(summarise(many, 50, 0.95, 0)).set_index("layer")
    assert alone.loc["7", "margin"] == among.loc["7", "margin"]
    assert (alone.loc["7", "verdict"], among.loc["7", "verdict"]) == (1, 0)
    assert 1 not in set(among["verdict"])


def test_a_control_whose_clips_failed_marks_nothing() -> None:
    """Its lines are there, and say nothing: an effect cannot be above it. With one clip left, neither."""
    table = made_up_table()
    for left in (0, 1):
        lost = (table["role"] == "self") & (table["index"] >= left)
        beside = beside_controls(summarise(table.assign(failed=table["failed"] | lost), 50, 0.95, 0))
        assert set(beside["verdict"]) == {0} and set(beside["p_above"]) == {1.0}
        assert set(beside["over"]) <= {"random", "noise"}


def test_a_control_of_another_strength_is_no_control() -> None:
    """A random push grows with the strength; the own mean does not."""
    weak, strong = made_up_table(), made_up_table().assign(strength=8.0)
    both = pd.concat([weak, strong.query("role == 'technique'")])
    summary = summarise(both.assign(technique=both["technique"].mask(both["role"] == "random", "random")), 50, 0.95, 0)
    beside = beside_controls(summary).query("strength == 8")
    assert np.isnan(beside["random_effectiveness"].to_numpy()).all()
    assert np.isfinite(beside["self_effectiveness"].to_numpy()).all()


def test_no_controls_no_verdict() -> None:
    table = made_up_table()
    summary = summarise(table.query("role == 'technique'"), 100, 0.95, 0)
    assert set(beside_controls(summary)["verdict"]) == {0}
    assert "▲" not in _shown(summary)


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("pairs", [[("guitar", "piano")], [("jazz", "hip-hop"), ("classical", "trumpet")]])
def test_nothing_is_cut_off(width: int, pairs: list[tuple[str, str]]) -> None:
    summary = _summary(components=["mlp", "ca", "sa"], techniques=["adjust", "replace"], pairs=pairs)
    text = _shown(summary, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "together" in text


def test_a_block_shows_the_numbers_of_the_summary() -> None:
    summary = _summary()
    text = _shown(summary, 140)
    line = summary[(summary["role"] == "technique") & (summary["layer"] == "10")].iloc[0]
    half = (line["effectiveness_high"] - line["effectiveness_low"]) / 2
    row = next(row for row in text.splitlines() if row.startswith("10 "))
    assert f"{line['effectiveness']:+.2f} ±{half:.2f} ▲" in row
    assert f"{line['margin']:+.2f} ±" in row and f"({line['over']})" in row
    assert f"{line['kept']:.0%}".replace("%", " %") in row
    assert "guitar → piano · mlp · replace · tiny" in text
    assert re.search(r"noise \(no edit, another seed\) [+−]\d\.\d\d ±\d", text)
    assert "95 % interval" in text


def test_many_blocks_are_shown_by_their_best_layers() -> None:
    pairs = [("guitar", "piano"), ("piano", "guitar"), ("jazz", "rock")]
    text = _shown(_summary(components=["mlp", "ca", "sa"], pairs=pairs, layers=["0", "1", "2"]))
    rows = [row for row in text.splitlines() if "→" in row and "best site" not in row]
    assert len(rows) == 9
    assert "guitar → piano, best site as other prompts choose it: " in text
    assert all(re.search(r"replace\s+2\s", row) for row in rows), "the effect grows by layer"
    assert "flattered" in text


def test_missing_values_are_dashes() -> None:
    summary = _summary()
    columns = [name for name in summary.columns if name.startswith(("kept", "effectiveness"))]
    summary.loc[summary["role"] == "technique", columns] = np.nan
    assert "nan" not in _shown(summary)


def test_controls_alone() -> None:
    assert "controls only" in _shown(_summary().query("role != 'technique'"))
