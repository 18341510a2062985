"""The page's data: the numbers and clips are those of the table and of the store, and nothing else is needed."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from mech_music.config.schema import TechniqueConfig, load_technique
from mech_music.edits.row import Row
from mech_music.listeners.classifier import label_names
from mech_music.report import payload
from mech_music.report.clips import Heard, hear
from mech_music.report.found import Found
from mech_music.report.page import LIMIT, Page, build
from mech_music.report.paths import portable, portable_command
from mech_music.results.tables import summarise
from mech_music.tasks.interchange.columns import AXES, METRICS
from mech_music.tasks.interchange.controls import beside_controls
from mech_music.tasks.interchange.page import formula, methods
from mech_music.tasks.interchange.page import page as interchange_page
from tests.composing import CommandLine, MadeUpEngine
from tests.made_up_results import made_up_table

INTERCHANGE = interchange_page()


def part(page: Page, name: str) -> Any:
    """The JSON that the page carries under this name."""
    text = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.html, re.DOTALL)
    assert text
    return json.loads(text[1])


def cells(page: Page) -> pd.DataFrame:
    return pd.DataFrame(part(page, "data")["columns"])


def lines_of(found: Found, cell: pd.Series, role: str) -> pd.DataFrame:
    """The clips of the table behind a cell, or behind one of its controls."""
    of_the_edit = [] if role == "noise" else ["component", "layer", "strength"]
    same = [f"{axis} == {json.dumps(cell[axis])}" for axis in ("original", "desired", *of_the_edit)]
    return found.table.query(" and ".join([f"role == {role!r}", *same]))


def test_every_number_is_the_table_s(page: Page, found: Found) -> None:
    shown = cells(page)
    assert len(shown) == 2 * 2 * 2 * 3
    for _, cell in shown.iloc[::3].iterrows():
        behind = lines_of(found, cell, "technique")
        assert cell["n"] == len(behind) == 3
        for metric in METRICS:
            assert cell[metric] == pytest.approx(behind[metric].mean(), rel=1e-4, nan_ok=True)
        for control in ("self", "random", "noise"):
            for metric in ("effectiveness", "precision", "kept"):
                mean = lines_of(found, cell, control)[metric].mean()
                assert cell[f"{control}_{metric}"] == pytest.approx(mean, rel=1e-4)


def test_every_interval_is_the_summary_s(page: Page, found: Found) -> None:
    effects = beside_controls(found.summary)
    shown = cells(page)
    for name in (
        "effectiveness_low",
        "effectiveness_high",
        "precision_low",
        "noise_effectiveness_high",
        "self_kept_low",
    ):
        np.testing.assert_allclose(shown[name], effects[name], rtol=1e-4)
    assert shown["verdict"].tolist() == effects["verdict"].tolist()


def test_the_clips_are_the_strongest_the_median_and_the_weakest(page: Page, found: Found, command: CommandLine) -> None:
    shown, samples, sounds = cells(page), part(page, "data")["samples"], part(page, "sounds")
    assert len(samples) == len(shown)
    rows = {row.key("made up"): row for asked in command.engine.asked for row in asked}
    for place, pair in list(samples.items())[::5]:
        behind = lines_of(found, shown.iloc[int(place)], "technique").sort_values("effectiveness")
        assert [one["end"] for one in pair] == ["strongest", "median", "weakest"]
        assert [one["after"] for one in pair] == behind["row"].iloc[[-1, 1, 0]].tolist()
        assert [one["before"] for one in pair] == behind["baseline"].iloc[[-1, 1, 0]].tolist()
        for key in (pair[0]["before"], pair[0]["after"]):
            clip, rate = command.engine.audio([rows[key]])
            heard, heard_rate = soundfile.read(io.BytesIO(content(sounds[key]["audio"])))
            assert (heard_rate, len(heard)) == (rate, clip.shape[1])
            assert sounds[key]["seconds"] == clip.shape[1] / rate
            assert np.corrcoef(heard, clip[0])[0, 1] > 0.8


def test_the_labels_are_those_of_the_stored_logits(page: Page, command: CommandLine) -> None:
    rows = {row.key("made up"): row for asked in command.engine.asked for row in asked}
    sample = part(page, "data")["samples"]["0"][0]
    logits = (
        command.engine.answers([rows[sample["after"]]])
        .reading(rows[sample["after"]], "classifier")["logits"]
        .astype(float)
    )
    odds = np.exp(logits) / np.exp(logits).sum()
    by_name = {label["name"]: label for label in sample["labels"]}
    assert {label_names()[at] for at in np.argsort(-odds)[:5]} <= by_name.keys()
    assert by_name["Guitar"]["concept"] == "original"
    assert by_name["Piano"]["after"] == pytest.approx(odds[153], rel=1e-4)


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert len(page.html.encode()) < LIMIT
    around = re.sub(r"<script type=\"text/plain\" id=\"plotly\">.*?</script>", "", page.html, flags=re.DOTALL)
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"|url\(|@import|https?://(?!www\.w3\.org)", around) == []
    assert "default-src 'none'" in page.html


def test_no_path_of_this_machine_is_on_the_page(page: Page, found: Found) -> None:
    assert str(found.folder) in str(found.command)
    assert str(found.folder.parent) not in page.html
    assert f"hydra.sweep.dir={found.folder.name}" in page.html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("store: /data/my clips/store\nseed: 0", "store: store\nseed: 0"),
        ("no folder '/data/my models/small': name one", "no folder 'small': name one"),
        ("lens.path=/results/run/3/lens", "lens.path=3/lens"),
        ("hydra.sweep.dir=/results/run", "hydra.sweep.dir=run"),
        ("~/models/small (hub), and/or others, 4/5, https://example.org/a/b", None),
        ("blocks.{layer}.hook_mlp_out, −KL(after ‖ before) / 527", None),
    ],
)
def test_a_path_is_shown_as_a_reader_can_use_it(text: str, shown: str | None) -> None:
    expected = text.replace("~/models/small", "small") if shown is None else shown
    assert portable(text, Path("/results/run")) == expected


def test_a_command_is_still_one_for_a_shell() -> None:
    command = "python -m mech_music.run 'engine.store=/a b/my store' layer='\"0,5\"' lens.path=/results/run/3/lens"
    assert portable_command(command, Path("/results/run")) == (
        "python -m mech_music.run 'engine.store=my store' 'layer=\"0,5\"' lens.path=3/lens"
    )


def test_what_is_in_a_table_cannot_write_the_page(found: Found) -> None:
    table = made_up_table().assign(model="</script><b>tiny", prompt="<img src=x>")
    hostile = Found(found.folder, [], table, summarise(table, 20, 0.95, 0), "rm </pre><b>")
    html = build(hostile, audio=False).html
    assert "<b>tiny" not in html
    assert "</pre><b>" not in html
    assert cells(Page(html, 0))["model"].tolist()[0] == "</script><b>tiny"


def test_few_bytes_hold_few_clips(page: Page, found: Found) -> None:
    effects = beside_controls(found.summary)
    some, none = (hear(INTERCHANGE, effects, found.jobs, room) for room in (400_000, 1_000))
    assert none.sounds == {}
    assert 0 < len(some.sounds) < page.clips
    best = effects["effectiveness"].idxmax()
    assert best in some.samples, "the greatest effect is heard first"
    assert sum(len(sound["audio"]) + len(sound["image"]) for sound in some.sounds.values()) <= 400_000


def test_clips_that_the_store_has_no_more_are_not_made(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those of another model, whose keys are others."""
    engine = MadeUpEngine()
    monkeypatch.setattr("mech_music.report.clips.open_engine", lambda run: engine)
    heard = hear(INTERCHANGE, beside_controls(found.summary), found.jobs, 10_000_000)
    assert (heard.samples, heard.sounds) == ({}, {})
    assert len(heard.notes) == 4
    assert "run the command again" in heard.notes[0]
    assert engine.asked == [], "nothing is generated for a page"


def test_the_clips_that_are_left_are_shown(page: Page, found: Found, command: CommandLine) -> None:
    class Pruned(MadeUpEngine):
        def rows_of(self, keys: Iterable[str]) -> dict[str, Row]:
            return {key: row for key, row in command.engine.rows_of(keys).items() if key not in lost}

    lost = {line["after"] for line in part(page, "data")["samples"]["0"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mech_music.report.clips.open_engine", lambda run: Pruned())
        heard = hear(INTERCHANGE, beside_controls(found.summary), found.jobs, 10_000_000)
    assert len(heard.notes) == 1 and heard.notes[0].startswith(f"{len(lost)} clips are missing")
    assert 0 not in heard.samples and 1 in heard.samples


def test_axes_that_follow_from_others_are_not_offered() -> None:
    small = made_up_table(n_prompts=4).assign(model="small", classifier="passt")
    table = pd.concat([made_up_table(n_prompts=5), small])
    effects = beside_controls(summarise(table, 20, 0.95, 0)).assign(pair="guitar → piano")
    assert payload.selectors(INTERCHANGE, effects) == ["model"]


def test_the_greatest_blocks_of_too_many_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_up_table(pairs=[("guitar", "piano"), ("jazz", "rock")], layers=["0", "1"])
    table.loc[table["original"] == "jazz", "effectiveness"] += 5
    effects = beside_controls(summarise(table, 20, 0.95, 0))
    assert payload.strongest_blocks(INTERCHANGE, effects)[1] == ""
    monkeypatch.setattr(payload, "MOST_LINES", 2)
    shown, words = payload.strongest_blocks(INTERCHANGE, effects)
    assert set(shown["original"]) == {"jazz"}
    assert "1 of 2" in words


def test_margins_and_marks_are_the_summary_s() -> None:
    summary = summarise(made_up_table(), 20, 0.95, 0)
    effects = INTERCHANGE.beside(summary)
    data = json.loads(payload.as_json(payload.payload(INTERCHANGE, effects, summary, Heard())))
    assert data["paired"] is True
    assert data["columns"]["verdict"] == effects["verdict"].tolist()
    assert set(data["columns"]["verdict"]) >= {0, 1}
    assert data["columns"]["over"] == effects["over"].tolist()
    for name in ("margin", "margin_low", "margin_high", "p_above"):
        assert data["columns"][name] == pytest.approx(effects[name].tolist(), rel=1e-4), name


def test_missing_numbers_are_null() -> None:
    summary = summarise(made_up_table().assign(kept=np.nan), 20, 0.95, 0)
    data = json.loads(payload.as_json(payload.payload(INTERCHANGE, INTERCHANGE.beside(summary), summary, Heard())))
    assert set(data["columns"]["kept"]) == {None}
    assert set(AXES) - {"role"} <= data["columns"].keys()


def test_where_heads_were_swept_the_map_is_layer_by_head() -> None:
    summary = summarise(made_up_table(components=["ca", "sa"], heads=["0", "1", ""]), 20, 0.95, 0)
    effects = INTERCHANGE.beside(summary)
    data = payload.payload(INTERCHANGE.fitted(effects), effects, summary, Heard())
    assert data["view"]["heat"]["down"] == "head" and data["view"]["heat"]["across"] == "layer"
    assert data["orders"]["head"] == ["", "0", "1"] and data["words"]["head"] == {
        "": "all heads",
        "0": "head 0",
        "1": "head 1",
    }
    assert "component" in data["selectors"], "a map is of one component"
    assert all("component" not in chart["lines"] for chart in data["view"]["charts"])
    whole = INTERCHANGE.beside(summarise(made_up_table(components=["ca", "sa"]), 20, 0.95, 0))
    assert INTERCHANGE.fitted(whole) == INTERCHANGE


@pytest.mark.parametrize(
    ("technique", "expected"),
    [
        (load_technique("replace"), "out′ = mean(desired)"),
        (load_technique("ablate"), "out′ = 0"),
        (load_technique("steer", 2.0), "out′ = out + 2 · mean(desired) − 2 · mean(original)"),
        (load_technique("scale", 0.5), "out′ = 0.5 · out"),
        (load_technique("random"), "out′ = out + a random direction as long as mean(desired) − mean(original)"),
        (
            load_technique("project", 0.5),
            "out′ = out − 0.5 · (out · d / |d|²) · d, d = mean(desired) − mean(original)",
        ),
        (TechniqueConfig("halfway", 0.5, {"original": -1.0}), "out′ = 0.5 · out − mean(original)"),
    ],
)
def test_an_edit_as_a_formula(technique: TechniqueConfig, expected: str) -> None:
    assert formula(technique) == expected


def test_the_methods_say_what_was_done(found: Found) -> None:
    told = {heading: " ".join(sentences) for heading, sentences in methods(found)}
    assert "8 layers" in told["Model"]
    assert "steer at strength 2: out′ = out + 2 · mean(desired)" in told["Edit"]
    assert "blocks.{layer}.hook_mlp_out" in told["Place"]
    assert told["Layers"] == "6 alone; 7 alone; all layers at once."
    assert told["Pairs"] == "guitar → piano, jazz → rock."
    assert "self: out′ = mean(original)." in told["Controls"]
    assert "seed 0" in told["Clips"]
    assert told["Prompts"].startswith("3 for each concept")
