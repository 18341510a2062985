"""Labelling features, with records whose truth is known: what is planned, found, scored and left in the folder."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.row import Row
from mech_music.engine.answers import Answers
from mech_music.listeners.classes import class_names
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.results.figures import draw_all
from mech_music.results.terminal import terminal_table
from mech_music.saes.named import Firing
from mech_music.tasks.protocol import Exporting
from mech_music.tasks.sae_labels.columns import SAE_LABELS
from mech_music.tasks.sae_labels.task import COLUMNS, SaeLabels
from tests.composing import compose_run

STUDY = load_prompt_set()
RUN = ("task=sae_labels", "sae.clips=150", "sae.held_out=60", "sae.width=6", "sae.k=2", "prompts=2",
       "statistics.resamples=200")  # fmt: skip
N = 6
WORDS = {0: "rock", 1: "guitar", 2: "happy"}  # what features 0, 1 and 2 fire on; 3 and 4 fire by chance, 5 never


def firing(source: Firing) -> dict[str, np.ndarray]:
    rows, draw = source.harvest.rows, np.random.default_rng(source.harvest.seed)
    share = np.zeros((len(rows), N))
    for feature, word in WORDS.items():
        share[:, feature] = [0.5 * (word in row.prompt) for row in rows]
    share[:, 3:5] = 0.5 * (draw.random((len(rows), 2)) < 0.3)
    activation = share * (1 + draw.random((len(rows), N)))
    return {"share": share, "activation": activation, "peak": 2 * activation, "largest": activation.max(axis=0)}


def logits(row: Row) -> np.ndarray:
    """A classifier that hears the guitar of prompts, with noise that is the clip's own."""
    found = np.random.default_rng(sum(map(ord, row.prompt)) + row.seed).normal(0, 1, 527).astype(np.float32)
    found[class_names("classifier").index("Guitar")] += 6 * ("guitar" in row.prompt)
    return found


def answers_of(plan: list[Any]) -> Answers:
    rows = [one for one in plan if isinstance(one, Row)]
    keys = {row: f"{number}" for number, row in enumerate(rows)}
    readings = {"classifier": {keys[row]: {"logits": logits(row)} for row in rows}}
    return Answers(keys, readings, {one: firing(one) for one in plan if isinstance(one, Firing)})


def labelled(folder: Path, *more: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table, and ``labels.csv`` by feature."""
    run, task = compose_run(*RUN, *more), SaeLabels()
    validate(run)
    assert isinstance(task, Exporting)
    answers = answers_of(task.plan(run))
    table = task.score(run, answers)
    task.export(run, answers, table, "abc", folder)
    written = pd.read_csv(folder / "labels.csv", keep_default_na=True)
    assert tuple(written.columns) == COLUMNS
    return tables.conform(table), written.set_index("feature")


def test_features_of_words_are_called_by_them(tmp_path: Path) -> None:
    table, found = labelled(tmp_path)
    assert set(found.index) == {0, 1, 2, 3, 4}, "5 never fires"
    for feature, word in WORDS.items():
        line = found.loc[feature]
        assert (line["label"], line["labeller"], line["layer"]) == (word, "attributes", 4)
        assert line["confidence"] == 1 and line["score"] == 1 and line["score_low"] == 1
        assert 0.3 < line["control"] < 0.7 and line["n_clips"] == 120
    for feature in (3, 4):  # by chance: a label is found, and is not true of other clips
        assert found.loc[feature, "score_low"] < 0.5 < found.loc[feature, "score_high"]
    assert "rock" in found.loc[0, "description"] and "genre" in found.loc[0, "description"]
    assert tuple(table.columns) == SAE_LABELS.names


def test_coverage_falls_with_the_confidence_that_is_asked_for(tmp_path: Path) -> None:
    table, _found = labelled(tmp_path)
    summary = tables.summarise(table, 50, 0.95, 0).set_index(["role", "asked"])
    kept = summary.loc["label", "kept"]
    assert kept[0.0] == 1 and kept.is_monotonic_decreasing and kept[1.0] == pytest.approx(3 / 5)
    assert summary.loc[("label", 1.0), "auroc"] == 1 and summary.loc[("label", 0.0), "auroc"] < 1
    assert summary.loc[("label", 1.0), "accepted"] == 1
    assert summary.loc[("dealt", 0.0), "auroc"] < 0.75
    assert summary.loc[("label", 0.0), "above"] == pytest.approx(3 / 5)


def test_the_classifiers_classes(tmp_path: Path) -> None:
    _, found = labelled(tmp_path, "labeller=classifier")
    assert found.loc[1, "label"] == "Guitar" and found.loc[1, "score"] > 0.99
    assert abs(found.loc[0, "score"] - 0.5) < 0.2, "rock is not heard"


def test_clips_are_asked_for_only_where_somebody_hears_them() -> None:
    for labeller, n in {"attributes": 0, "classifier": 270}.items():
        run, task = compose_run(*RUN, f"labeller={labeller}"), SaeLabels()
        assert sum(isinstance(one, Row) for one in task.plan(run)) == n
        assert task.listeners(run) == (("classifier",) if n else ())


def test_a_clip_that_failed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(source: Firing) -> dict[str, np.ndarray]:
        found = firing(source)
        for name in ("share", "activation", "peak"):
            found[name][:7] = np.nan
        return found

    monkeypatch.setitem(globals(), "answers_of", lambda plan: Answers({}, {}, {
        one: failing(one) for one in plan if isinstance(one, Firing)}))  # fmt: skip
    _, found = labelled(tmp_path)
    assert found.loc[0, "label"] == "rock" and found.loc[0, "score"] == 1 and found.loc[0, "n_clips"] == 113


def test_figures_a_table_in_the_terminal_and_a_page(tmp_path: Path) -> None:
    parts = [labelled(tmp_path, word, "layer='1,4'")[0] for word in ("labeller=attributes", "labeller=classifier")]
    summary = tables.summarise(pd.concat(parts), 50, 0.95, 0)
    names = {path.name for path in draw_all(summary, tmp_path / "figures") if path.suffix == ".svg"}
    assert names == {
        "labels_tiny.svg", "confidence_tiny_labeller-attributes.svg", "confidence_tiny_labeller-classifier.svg"
    }  # fmt: skip
    console = Console(width=120, file=StringIO())
    console.print(terminal_table(summary, 120))
    assert isinstance(console.file, StringIO)
    (line, kept) = [one for one in console.file.getvalue().splitlines() if one.startswith("attributes, layer 4")]
    auroc = summary.query("labeller == 'attributes' and layer == '4' and role == 'label' and asked == 0")["auroc"]
    assert f"{auroc.iloc[0]:.2f}" in line and kept.split()[-1] == "1.00"
    page = SaeLabels.page()
    assert set(page.shown) <= set(SAE_LABELS.metrics) and set(page.beside(summary)["verdict"]) <= {-1, 0, 1}


BAD = {
    "labels.strongest=0": "labels.strongest=0: expected 1 or more",
    "labels.share=1": "labels.share=1: expected a share of a clip's steps",
    "labels.tracks=[0.5,0.2]": r"labels.tracks=\[0.5, 0.2\]: expected two shares, the smaller first",
    "labels.tracks=[0.5]": r"labels.tracks=\[0.5\]: expected two shares, such as \[0.01, 0.25\]",
    "+labeller.colour=red": "unknown key of labeller=attributes 'colour'",
    "sae.k=7": "sae.k=7",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        validate(compose_run(*RUN, word))


def test_no_feature_that_fires_as_often_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no feature fires in 95% to 99% of 150 clips .*: change labels.tracks"):
        labelled(tmp_path, "labels.tracks=[0.95,0.99]")
