"""The figures: drawn when the summary allows, the same bytes each time, with the words a reader needs."""

import logging
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mech_music.results import figures
from mech_music.results.tables import summarise
from mech_music.tasks.interchange import figures as interchange
from tests.made_up_results import made_up_table


def _summary(**axes) -> pd.DataFrame:
    return summarise(made_up_table(**axes), resamples=50, level=0.95, seed=0)


def _words(svg: Path) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text()))


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
