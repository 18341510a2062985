"""What erasing asks for and writes down, with listeners whose ears are known; and the fewest features needed."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.row import Half, Row
from mech_music.edits.splice import How, Splice
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.saes.settings import trained_on
from mech_music.tasks.sae_erase.columns import SAE_ERASE
from mech_music.tasks.sae_erase.fewest import fewest
from mech_music.tasks.sae_erase.task import SaeErase
from mech_music.tasks.sae_erase.trials import trials
from tests.answers import Outcome, answered
from tests.composing import compose_run

STUDY = load_prompt_set()
RUN = ("task=sae_erase", "concept=guitar", "prompts=6", "features=[1,2,4]", "draws=2")


def outcome(row: Row) -> Outcome:
    """Without four features a guitar is a violin, and the genre is gone; random ones do nothing."""
    logits = np.full(527, -9.0)
    own = row.edits[0].changes[0].feature if row.edits else None
    gone = own is not None and own.draw is None and own.n == 4
    logits[STUDY.concepts["violin" if gone else "guitar"].labels[0]] = 3.0
    genre = next(one for one in STUDY.categories["genre"].concepts if f" {one.text} piece" in row.prompt)
    other = STUDY.concepts["classical" if genre.name == "jazz" else "jazz"]
    logits[(other if gone else genre).labels[0]] = 2.0
    return Outcome(logits, np.zeros((4, 1), np.int16), row.key(""))


def scored(*more: str) -> tuple[Any, pd.DataFrame]:
    run, task = compose_run(*RUN, *more), SaeErase()
    return run, task.score(run, answered({row: outcome(row) for row in task.plan(run)}))


def test_the_concepts_features_are_put_to_0_and_the_error_is_kept() -> None:
    run = compose_run(*RUN, "half=uncond", "layer=2", "component=mlp")
    planned = list(trials(run))
    assert len(planned) == 6 * (1 + 3 * (1 + 2))
    tested = {one.prompt.text for one in planned}
    assert all("guitar" in text for text in tested) and not tested & set(trained_on(run.sae, STUDY).prompts.texts)
    draws = []
    for one in planned:
        assert (one.row.prompt, one.row.seed) == (one.baseline.prompt, one.baseline.seed) and not one.baseline.edits
        if one.role == "unedited":
            assert not one.row.edits
            continue
        (edit,) = one.row.edits
        (change,) = edit.changes
        assert (
            isinstance(edit, Splice) and edit.error and (edit.hook, edit.half) == ("blocks.2.hook_mlp_out", Half.uncond)
        )
        assert (change.how, change.feature.n, change.feature.prompts.name) == (How.zero, one.features, "guitar")
        assert (change.feature.draw is None) == (one.role == "erased")
        draws += [change.feature.draw] if one.role == "random" else []
    assert set(draws) == set(range(12)), "others for every prompt and draw"


def test_what_is_heard_beside_random_features() -> None:
    _, table = scored()
    assert tuple(table.columns) == SAE_ERASE.names and len(tables.conform(table)) == 6 * (1 + 3 * 3)
    shown: Any = table.groupby(["role", "features"])[["heard", "kept", "surprise"]].mean()
    assert shown.loc["unedited", 0].tolist() == [1, 1, 0]
    assert [shown.loc["erased", n].tolist() for n in (1, 2, 4)] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert [shown.loc["random", n].tolist() for n in (1, 2, 4)] == [[1, 1, 0]] * 3
    assert set(table["chance"]) == {1 / 5}, "five instruments"


def test_a_failed_clip_has_no_metrics() -> None:
    run, task = compose_run(*RUN), SaeErase()
    rows = task.plan(run)
    broken = next(one.row for one in trials(run) if one.role == "random")
    found = {row: replace(outcome(row), logits=np.full(527, np.nan)) if row == broken else outcome(row) for row in rows}
    (line,) = tables.lines_of(task.score(run, answered(found)).query("failed"))
    assert line["role"] == "random" and np.isnan([line[name] for name in SAE_ERASE.metrics]).all()


def lines(*heard: tuple[float, float, float]) -> list[dict[str, Any]]:
    return [{"features": 2**n, "chance": 0.2, "heard": mean, "heard_low": low, "heard_high": high}
            for n, (mean, low, high) in enumerate(heard)]  # fmt: skip


def test_the_fewest_features_and_their_interval() -> None:
    found = fewest(lines((0.9, 0.7, 1.0), (0.4, 0.15, 0.7), (0.2, 0.1, 0.5), (0.1, 0.0, 0.19)))
    assert (found.number, found.low, found.high) == (4, 2, 8) and str(found) == "4 [2, 8]"
    assert str(fewest(lines((0.9, 0.7, 1.0), (0.4, 0.2, 0.7)))) == "> 2 [2, > 2]"


def test_the_figure_and_the_terminal_table_show_every_role(tmp_path: Path) -> None:
    _, table = scored("concept=guitar+violin")
    summary = tables.summarise(table, 99, 0.95, 0)
    (picture, drawing) = SaeErase.figures()[0](summary, tmp_path)
    assert picture.is_file()
    text = drawing.read_text()
    assert all(role.word in text for role in SAE_ERASE.declared) and "chance" in text
    console = Console(width=160, file=StringIO(), record=True)
    console.print(SaeErase.terminal(summary, 160))
    shown = console.export_text()
    assert "guitar" in shown and "4 [4, " in shown and "random" in shown


def test_the_clips_of_all_numbers_are_beside_the_unedited_one() -> None:
    run, table = scored("audio.strongest=2")
    choices = SaeErase().choose_clips(run, table)
    assert [set(one.versions) for one in choices] == [{"original", "without-1", "without-2", "without-4"}] * 2


BAD = {
    "features=[0]": "features=0: expected 1 or more",
    "features=[]": r"features=\[\]: expected at least one number",
    "features=[129]": "features=129: expected at most half of sae.width=256",
    "draws=0": "draws=0: expected 1 or more",
    "prompts=60": "prompts=60: 40 prompts about 'guitar' are held out",
    "concept=banjo": "unknown concept 'banjo'",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        validate(compose_run(*RUN, word))
