"""The paper's figures of an interchange: which points are drawn, from which lines of the summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.results import canvas
from mech_music.results.tables import lines_of, summarise
from mech_music.tasks.interchange import published
from tests.made_up_results import made_up_table

PAIRS = [("guitar", "piano"), ("jazz", "rock"), ("violin", "pop"), ("rock", "piano")]
LAYERS = [str(layer) for layer in range(4)]


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    """Two models, of which the second moves one nat further."""
    table = made_up_table(components=["mlp", "ca"], techniques=["replace", "adjust"], pairs=PAIRS, layers=LAYERS)
    further = table.assign(model="small")
    further.loc[further["role"] == "technique", ["effectiveness", "effectiveness_original"]] += 1.0
    return summarise(pd.concat([table, further]), 50, 0.95, 0)


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> dict[str, canvas.Sheet]:
    saved: dict[str, canvas.Sheet] = {}
    monkeypatch.setattr(
        canvas.Sheet, "save", lambda sheet, folder, name: saved.update({name: sheet}) or [folder / name]
    )
    return saved


def mean(summary: pd.DataFrame, column: str, **axes: str) -> float:
    lines = [line for line in lines_of(summary) if all(line[name] == value for name, value in axes.items())]
    return float(np.mean([line[column] for line in lines]))


def test_component_curves_are_the_means_over_pairs(
    summary: pd.DataFrame, sheets: dict[str, canvas.Sheet], tmp_path: Path
) -> None:
    published.component_curves(summary, tmp_path)
    assert set(sheets) == {"components_tiny", "components_small"}
    a, b = sheets["components_small"].axes
    assert (a.get_title(loc="left")[:2], b.get_title(loc="left")[:2]) == ("A.", "B.")
    curves = [line for line in a.lines if line.get_color() == canvas.COLOURS["mlp"] and np.size(line.get_xdata()) == 4]
    assert [line.get_linestyle() for line in curves] == ["-", "--"], "replace solid, adjust dashed"
    axes = {"role": "technique", "model": "small", "component": "mlp", "technique": "replace"}
    wanted = [mean(summary, "effectiveness", layer=layer, **axes) for layer in LAYERS]
    np.testing.assert_allclose(np.asarray(curves[0].get_ydata(), float), wanted)


def test_sizes_have_a_row_each_and_techniques_a_column(
    summary: pd.DataFrame, sheets: dict[str, canvas.Sheet], tmp_path: Path
) -> None:
    published.size_curves(summary, tmp_path)
    assert set(sheets) == {"sizes_effectiveness_small+tiny", "sizes_precision_small+tiny"}
    titles = [axes.get_title(loc="left") for axes in sheets["sizes_effectiveness_small+tiny"].axes]
    assert titles == ["tiny, adjust", "tiny, replace", "small, adjust", "small, replace"]


def test_depths_are_the_first_the_mean_of_those_between_and_the_last(
    summary: pd.DataFrame, sheets: dict[str, canvas.Sheet], tmp_path: Path
) -> None:
    published.depth_tradeoff(summary, tmp_path)
    (axes, _) = sheets["depths_small+tiny"].axes
    (first,) = [line for line in axes.lines if line.get_label() == "small, replace"]
    points = [line for line in axes.lines if line.get_color() == first.get_color() and line.get_marker() != "None"]
    told = {"role": "technique", "model": "small", "component": "mlp", "technique": "replace"}
    between = np.mean([mean(summary, "effectiveness", layer=layer, **told) for layer in ("1", "2")])
    wanted = [
        mean(summary, "effectiveness", layer="0", **told),
        between,
        mean(summary, "effectiveness", layer="3", **told),
    ]
    np.testing.assert_allclose([float(np.asarray(line.get_xdata())[0]) for line in points], wanted)
    letters = [text.get_text() for text in axes.texts if text.get_color() == first.get_color()]
    assert letters == ["b", "i", "e"]


def test_bars_are_means_over_layers_by_kind_of_pair(
    summary: pd.DataFrame, sheets: dict[str, canvas.Sheet], tmp_path: Path
) -> None:
    published.kind_bars(summary, tmp_path)
    assert set(sheets) == {f"kinds_{c}_{t}_small+tiny" for c in ("mlp", "ca") for t in ("replace", "adjust")}
    small, tiny = sheets["kinds_mlp_replace_small+tiny"].axes
    assert (small.get_title(), tiny.get_title()) == ("small", "tiny")
    bars = {box.get_label(): [bar.get_height() for bar in box] for box in small.containers if hasattr(box, "patches")}
    assert list(bars) == [
        "instrument – instrument", "genre – genre", "instrument – genre", "genre – instrument",
    ]  # fmt: skip
    told = {"role": "technique", "model": "small", "component": "mlp", "technique": "replace", "original": "violin"}
    for height, part in zip(bars["instrument – genre"], ("", "_original", "_desired"), strict=True):
        assert height == pytest.approx(mean(summary, f"effectiveness{part}", **told))
    combined, original, desired = bars["instrument – genre"]
    assert combined == pytest.approx(original + desired)


def test_what_is_not_there_is_not_drawn(tmp_path: Path, sheets: dict[str, canvas.Sheet]) -> None:
    """One pair, one kind of pair, one component, sets of layers."""
    one = summarise(made_up_table(components=["mlp"]), 50, 0.95, 0)
    kinds = (published.component_curves, published.size_curves, published.depth_tradeoff, published.kind_bars)
    assert [draw(one, tmp_path) for draw in kinds] == [[], [], [], []]
    together = summarise(made_up_table(pairs=PAIRS[:2], layers=["together"]), 50, 0.95, 0)
    assert [draw(together, tmp_path) for draw in kinds] == [[], [], [], []] and not sheets
