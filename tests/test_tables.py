"""The results table: its order, its summary, its bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.metrics.intervals import mean_interval, mean_intervals
from mech_music.results import tables
from mech_music.results.columns import layer_order
from mech_music.results.tables import lines_of
from mech_music.tasks.interchange.columns import AXES, INTERCHANGE
from tests.made_up_results import made_up_table


@pytest.fixture
def table() -> pd.DataFrame:
    return made_up_table()


def _line(summary: pd.DataFrame, **axes: str) -> Mapping[Any, Any]:
    (line,) = (line for line in summary.to_dict("records") if axes.items() <= line.items())
    return line


def _values(table: pd.DataFrame, layer: str) -> np.ndarray:
    """Effectiveness by prompt."""
    clips = table.query(f"role == 'technique' and layer == '{layer}'").sort_values("index")
    return clips["effectiveness"].to_numpy()


def test_lines_come_by_axes_with_layers_in_their_order(table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(tables.conform(shuffled), tables.conform(table))
    effects = tables.conform(table).query("role == 'technique'")
    assert list(dict.fromkeys(effects["layer"])) == ["0", "1", "2", "10", "together"]


def test_layer_order() -> None:
    assert sorted(["together", "10", "4+5", "9", ""], key=layer_order) == ["", "9", "10", "4+5", "together"]


def test_summary_is_the_bootstrap_of_each_intervention(table: pd.DataFrame) -> None:
    summary = tables.summarise(table, resamples=200, level=0.9, seed=3)
    assert list(summary.columns) == [column.name for column in INTERCHANGE.summary_columns]
    clips = table.query("role == 'technique' and layer == '2'").sort_values("index")
    line = _line(summary, role="technique", layer="2")
    for metric in INTERCHANGE.metric_columns:
        values = clips[metric.name].to_numpy()[:, None]
        expected = mean_intervals(values, 200, 0.9, 3, [metric.share])
        found = [line[metric.name + end] for end in ("", "_low", "_high")]
        assert found == pytest.approx([float(part[0]) for part in expected[:3]]), metric
    assert (line["n"], line["failed"], line["level"], line["resamples"]) == (12, 0, 0.9, 200)


def test_interventions_share_their_resampled_prompts(table: pd.DataFrame) -> None:
    """An effect that is another's plus a constant has its interval moved by that constant."""
    moved = table["layer"] == "2"
    table.loc[moved, "effectiveness"] = table.loc[table["layer"] == "1", "effectiveness"].to_numpy() + 5.0
    summary = tables.summarise(table.sample(frac=1, random_state=0), 200, 0.95, 0)
    one, two = (_line(summary, role="technique", layer=layer) for layer in "12")
    assert two["effectiveness_low"] - one["effectiveness_low"] == pytest.approx(5.0)
    difference = mean_interval(_values(table, "2") - _values(table, "1"), 200, 0.95, 0)
    assert (difference.low, difference.high) == pytest.approx((5.0, 5.0))


def test_failed_clips_are_left_out_and_counted(table: pd.DataFrame) -> None:
    bad = (table["role"] == "technique") & (table["layer"] == "1") & (table["index"] < 3)
    table.loc[bad, "failed"] = True
    table.loc[bad, "effectiveness"] = 1e9
    line = _line(tables.summarise(table, 100, 0.95, 0), role="technique", layer="1")
    assert (line["n"], line["failed"]) == (9, 3)
    assert line["effectiveness_high"] < 10


def test_same_table_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    tables.write_table(table, tmp_path / "a" / "table.parquet")
    tables.write_table(table.sample(frac=1, random_state=0), tmp_path / "b.parquet")
    assert (tmp_path / "a" / "table.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(tables.read_table(tmp_path / "b.parquet"), tables.conform(table))
    summary = tables.summarise(table, 50, 0.95, 0)
    tables.write_summary(summary, tmp_path / "summary.parquet")
    pd.testing.assert_frame_equal(tables.read_summary(tmp_path / "summary.parquet"), summary)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.parquet", "summary.parquet"]


def test_a_failed_write_leaves_the_old_file(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    tables.write_table(table, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="two lines for prompt 0"):
        tables.write_table(pd.concat([table, table]), path)
    assert [path.read_bytes()] == [before]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_clear_line(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write '.*file/table\.parquet'"):
        tables.write_table(table, tmp_path / "file" / "table.parquet")


def test_jobs_join_in_any_order_and_share_their_noise_floor(tmp_path: Path) -> None:
    paths = [tmp_path / f"{component}.parquet" for component in ("mlp", "sa")]
    for path in paths:
        tables.write_table(made_up_table(components=[path.stem]), path)
    joined = tables.concat_tables(paths)
    pd.testing.assert_frame_equal(joined, tables.concat_tables(paths[::-1]))
    assert list(joined["role"]).count("noise") == 12
    assert len(joined.drop_duplicates([*AXES, "index"])) == len(joined)


def test_wrong_tables_are_named(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing: \['half'\], unknown: \['halves'\]"):
        tables.conform(table.rename(columns={"half": "halves"}))
    with pytest.raises(ValueError, match="unknown role 'placebo'"):
        tables.conform(table.assign(role="placebo"))
    with pytest.raises(UserError, match="no results table at"):
        tables.read_table(tmp_path / "none.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match="is not a results table of this version"):
        tables.read_table(tmp_path / "torn.parquet")
    with pytest.raises(UserError, match="none of the jobs finished"):
        tables.concat_tables([])


def test_several_clips_of_a_prompt_count_as_their_mean(table: pd.DataFrame) -> None:
    """Else a prompt with more clips would count more, and clips of one prompt as independent."""
    again = table.assign(repeat=1)
    again["effectiveness"] += 1.0
    both = pd.concat([table, again], ignore_index=True)
    one, two = (tables.summarise(each, 200, 0.9, 3) for each in (table, both))
    np.testing.assert_allclose(two["effectiveness"], one["effectiveness"] + 0.5)
    np.testing.assert_allclose(two["effectiveness_high"], one["effectiveness_high"] + 0.5)
    np.testing.assert_array_equal(two["n"], 2 * one["n"])


def test_jobs_that_differ_in_what_no_column_says_are_not_merged(table: pd.DataFrame, tmp_path: Path) -> None:
    """A sweep over the guidance scale, say: else the first job's lines would stand for all."""
    other = table.assign(row=table["row"].str.replace("0", "f"))
    for name, each in (("a", table), ("b", other)):
        tables.write_table(INTERCHANGE.attach(each), tmp_path / f"{name}.parquet")
    with pytest.raises(UserError, match="differ in something that the table has no column for"):
        tables.concat_tables([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert len(tables.concat_tables([tmp_path / "a.parquet", tmp_path / "a.parquet"])) == len(table)


def with_the_effects_numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with these columns of the effect in the place of those of the control `self`."""
    found = table.set_index(["role", "layer", "index"])
    own = [place for place in found.index if place[0] == "self"]
    effect = found.loc[[("technique", layer, index) for _, layer, index in own], list(columns)]
    found.loc[own, list(columns)] = effect.to_numpy()
    return found.reset_index()


def test_a_control_with_the_effects_own_clips_blocks_no_mark(table: pd.DataFrame) -> None:
    """As in a sweep where one job's technique is another one's control."""
    same = with_the_effects_numbers(table, ["row", *INTERCHANGE.metrics])
    effects = []
    for each in (same, same.query("role != 'self'")):
        summary = tables.summarise(each, 50, 0.95, 0).query("role == 'technique'")
        effects.append({line["layer"]: [line["over"], line["margin"], line["p_above"]] for line in lines_of(summary)})
    assert effects[0] == effects[1] and len(effects[0]) == 5


def test_a_control_that_another_edit_made_and_that_sounds_the_same_is_a_tie(table: pd.DataFrame) -> None:
    """As where a layer carries nothing of what was edited: the effect is not above the control, so there is no mark."""
    tied = with_the_effects_numbers(table, INTERCHANGE.metrics)
    summary = tables.summarise(tied, 50, 0.95, 0).query("role == 'technique'")
    assert summary["p_above"].to_list() == [1.0] * len(summary) and max(summary["margin"].to_list()) <= 0
