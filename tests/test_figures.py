"""The figures: drawn when the summary allows, the same bytes each time, with the words a reader needs."""

import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D
from PIL import Image

from mech_music.results import canvas, figures
from mech_music.results.tables import lines_of, summarise
from mech_music.tasks.interchange import figures as interchange
from mech_music.tasks.interchange import pooled
from mech_music.tasks.interchange.controls import beside_controls
from tests.made_up_results import made_up_table


def _summary(**axes) -> pd.DataFrame:
    return summarise(made_up_table(**axes), resamples=50, level=0.95, seed=0)


def _points(line: Line2D) -> np.ndarray:
    return np.stack([np.asarray(line.get_xdata()), np.asarray(line.get_ydata())], axis=1)


def _words(svg: Path) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text()))


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> list[canvas.Sheet]:
    """The sheets that were saved."""
    saved, save = [], canvas.Sheet.save
    monkeypatch.setattr(canvas.Sheet, "save", lambda sheet, *to: saved.append(sheet) or save(sheet, *to))
    return saved


def test_one_component_gives_curves_and_a_trade_off(tmp_path: Path) -> None:
    paths = figures.draw_all(_summary(), tmp_path)
    names = {path.name for path in paths}
    stems = ("layers_guitar-piano_mlp_replace_tiny", "tradeoff_guitar-piano_tiny")
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg")}
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.size[0] > 800


def test_several_components_give_a_heatmap(tmp_path: Path) -> None:
    paths = interchange.heatmap(_summary(components=["mlp", "ca"]), tmp_path)
    assert [path.name for path in paths] == [f"heatmap_guitar-piano_replace_tiny.{end}" for end in ("png", "svg")]
    assert "cross-attention" in _words(paths[1])


def test_several_heads_give_a_heatmap_of_layer_by_head(tmp_path: Path, sheets: list[canvas.Sheet]) -> None:
    summary = _summary(components=["ca"], heads=["0", "1", "2"])
    paths = interchange.head_heatmap(summary, tmp_path)
    assert [path.name for path in paths] == [f"heads_guitar-piano_ca_replace_tiny.{end}" for end in ("png", "svg")]
    assert interchange.heatmap(summary, tmp_path) == []
    (image,) = sheets[0].axes[0].images
    values = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    assert values.shape == (3, 5)
    assert values[0, 3] > 2 > np.abs(values[1:]).max(), "the first head's effect grows from layer to layer"
    assert "head 2" in _words(paths[1]) and "cross-attention" in _words(paths[1])
    assert interchange.head_heatmap(_summary(components=["mlp", "ca"]), tmp_path) == []


def test_cells_that_are_not_marked_fade(tmp_path: Path, sheets: list[canvas.Sheet]) -> None:
    summary = _summary(components=["mlp", "ca"])
    words = _words(interchange.heatmap(summary, tmp_path)[1])
    marked = beside_controls(summary).pivot(index="component", columns="layer", values="verdict") == 1
    marked = marked.loc[["mlp", "ca"], ["0", "1", "2", "10", "together"]].to_numpy()
    assert 0 < marked.sum() < marked.size
    (sheet,) = sheets
    for axes in sheet.axes:
        alpha = np.array(axes.images[0].get_alpha())
        assert (alpha[marked] == 1).all()
        assert (alpha[~marked] < 0.6).all()
    dots = {
        tuple(np.round(_points(line)[0]).astype(int)[::-1]) for line in sheet.axes[0].lines if line.get_marker() == "."
    }
    assert dots == {*map(tuple, np.argwhere(marked))}
    assert "Faded: not told apart from the controls." in words


def test_without_controls_nothing_fades(tmp_path: Path, sheets: list[canvas.Sheet]) -> None:
    summary = _summary(components=["mlp", "ca"]).query("role == 'technique'")
    assert "Faded" not in _words(interchange.heatmap(summary, tmp_path)[1])
    assert (np.array(sheets[0].axes[0].images[0].get_alpha()) == 1).all()


@pytest.mark.parametrize("ideal", [-40.0, -0.5])
def test_a_trade_off_has_the_room_of_its_points(tmp_path: Path, sheets: list[canvas.Sheet], ideal: float) -> None:
    summary = summarise(made_up_table(components=["mlp", "ca"]).assign(ideal_precision=ideal), 50, 0.95, 0)
    words = _words(interchange.tradeoff(summary, tmp_path)[1])
    low, high = sheets[0].axes[0].get_ylim()
    values = summary[["precision", "precision_low", "precision_high"]].to_numpy()
    assert high - low < 1.5 * (values.max() - values.min())
    assert low < values.min() and high > summary["precision"].to_numpy().max()
    assert ("↓ ideal precision (pure swap) (nats): −40.00" in words) is (ideal == -40)


def test_no_point_is_better_than_the_front(tmp_path: Path, sheets: list[canvas.Sheet]) -> None:
    table = made_up_table(components=["mlp", "ca"], pairs=[("guitar", "piano"), ("jazz", "rock")])
    table["precision"] -= 0.2 * table["effectiveness"]  # what moves further is less precise
    summary = summarise(table, 50, 0.95, 0)
    interchange.tradeoff(summary, tmp_path)
    pooled.pooled_tradeoff(summary, tmp_path)
    effects, places = lines_of(beside_controls(summary)), list[np.ndarray]()
    for line in effects:
        places.append(np.array([line["effectiveness"], line["precision"]]))
    of_guitar = [place for place, line in zip(places, effects, strict=True) if line["original"] == "guitar"]
    by_site: dict[tuple[str, str], list[np.ndarray]] = {}
    for place, line in zip(places, effects, strict=True):
        if line["layer"] != "together":
            by_site.setdefault((line["component"], line["layer"]), []).append(place)
    means = [np.mean(own, axis=0) for own in by_site.values()]
    for sheet, points in ((sheets[0], np.array(of_guitar)), (sheets[2], np.array(means))):
        (front,) = [line for line in sheet.axes[0].lines if str(line.get_label()).startswith("front")]
        edge = _points(front)
        best = [one for one in points if not ((points >= one).all(axis=1) & (points > one).any(axis=1)).any()]
        assert edge == pytest.approx(np.array(sorted(map(tuple, best))))


def test_controls_stand_beside_the_one_place(tmp_path: Path, sheets: list[canvas.Sheet]) -> None:
    interchange.layer_curves(_summary(layers=["together"]), tmp_path)
    for axes in sheets[0].axes:
        low, high = axes.get_xlim()
        assert (low, high) == (-0.5, 0.5)
        found = {float(_points(line)[0, 0]) for line in axes.lines if len(_points(line)) == 1}
        assert 0.0 in found and len(found) == 3, "the effect, and two controls of the site"
        assert max(map(abs, found)) <= 0.1


def test_titles_tell_strengths_apart(tmp_path: Path) -> None:
    table = pd.concat([made_up_table(components=["mlp", "ca"]).assign(strength=strength) for strength in (0.5, 2.0)])
    summary = summarise(table, 50, 0.95, 0)
    for draw in (interchange.layer_curves, interchange.heatmap, interchange.tradeoff):
        words = [_words(path) for path in draw(summary, tmp_path) if path.suffix == ".svg"]
        told = [re.findall("model tiny, strength ([0-9.]+)", one) for one in words]
        assert sorted(map(tuple, told)) == sorted([("0.5",), ("2",)] * (len(words) // 2))
    assert "strength 0.5" not in _words(interchange.dose_response(summary, tmp_path)[1])


def test_swept_strength_gives_dose_response(tmp_path: Path) -> None:
    table = pd.concat([made_up_table(n_prompts=5).assign(strength=strength) for strength in (0.5, 1.0, 2.0)])
    summary = summarise(table, 50, 0.95, 0)
    words = _words(interchange.dose_response(summary, tmp_path)[1])
    assert "strength" in words
    assert "The controls are those of layer together." in words
    names = [path.name for path in interchange.layer_curves(summary, tmp_path)]
    assert len(set(names)) == 6, "one of each strength, none overwritten"


def test_same_summary_same_bytes(tmp_path: Path) -> None:
    summary = _summary(components=["mlp", "ca"], layers=["0", "1"])
    one, two = (figures.draw_all(summary, tmp_path / name) for name in "ab")
    assert one
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_a_curve_says_what_it_shows(tmp_path: Path) -> None:
    words = _words(interchange.layer_curves(_summary(), tmp_path)[1])
    for needed in (
        "guitar → piano: replace at the MLP, model tiny",
        "effectiveness, log-odds (nats)",
        "precision, inverse KL (nats)",
        "layer edited",
        "95 % bootstrap intervals, n = 12 clips each",
        "control: own mean",
        "control: random direction",
        "control: another seed",
        "ideal precision",
        "together",
    ):
        assert needed in words, needed


def test_without_controls_none_are_claimed(tmp_path: Path) -> None:
    words = _words(interchange.layer_curves(_summary().query("role == 'technique'"), tmp_path)[1])
    assert "No controls were run." in words
    assert "Filled points" not in words


@pytest.mark.parametrize("layers", [["0"], ["together"], ["4+5+6", "together"], ["0", "together"]])
def test_few_layers_are_drawn_too(tmp_path: Path, layers: list[str]) -> None:
    assert interchange.layer_curves(_summary(layers=layers), tmp_path)


def test_failed_interventions_are_not_drawn(tmp_path: Path) -> None:
    assert figures.draw_all(summarise(made_up_table().assign(failed=True), 50, 0.95, 0), tmp_path) == []


def test_only_the_greatest_effects_of_many_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(interchange, "_MOST", 1)
    caplog.set_level(logging.INFO, "mech_music.tasks.interchange.figures")
    table = made_up_table(pairs=[("guitar", "piano"), ("jazz", "rock")], layers=["0", "1"])
    table.loc[table["original"] == "jazz", "effectiveness"] += 5
    paths = interchange.layer_curves(summarise(table, 50, 0.95, 0), tmp_path)
    assert {path.stem for path in paths} == {"layers_jazz-rock_mlp_replace_tiny"}
    assert "drawing 1 of 2 layer curves" in caplog.text
