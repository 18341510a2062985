"""What steering asks for, how a feature is chosen, and what is written down, with listeners whose ears are known."""

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
from mech_music.edits.row import Edit, Half, RandomDirection, Row
from mech_music.edits.schedule import Scheduled
from mech_music.edits.splice import How, Splice
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.saes.named import ConceptDirection, ConceptShift
from mech_music.saes.settings import trained_on
from mech_music.tasks.sae_steer.columns import SAE_STEER
from mech_music.tasks.sae_steer.settings import Steer
from mech_music.tasks.sae_steer.task import SaeSteer
from mech_music.tasks.sae_steer.trials import trials
from tests.answers import Outcome, answered
from tests.composing import compose_run

STUDY = load_prompt_set()
GUITAR, PIANO = (STUDY.concepts[name].labels[0] for name in ("guitar", "piano"))
RUN = ("task=sae_steer", "steer=feature", "prompts=4", "choice_prompts=3", "strengths=[1,2]", "candidates=2")


def direction_of(row: Row) -> Any:
    return row.edits[0].shift[0].source if row.edits and isinstance(row.edits[0], Edit) else None


def outcome(row: Row) -> Outcome:
    """The candidate of rank 1 makes a piano of every clip and keeps its genre; that of rank 0 loses both."""
    logits = np.full(527, -9.0)
    source = direction_of(row)
    steered = isinstance(source, ConceptDirection) and source.rank == 1
    logits[PIANO if steered else GUITAR] = 3.0
    own = next(one for one in STUDY.categories["genre"].concepts if f" {one.text} piece" in row.prompt)
    other = STUDY.concepts["classical" if own.name == "jazz" else "jazz"]
    lost = isinstance(source, ConceptDirection) and not steered
    logits[(other if lost else own).labels[0]] = 2.0
    return Outcome(logits, np.zeros((4, 1), np.int16), row.key(""))


def scored(*more: str) -> tuple[Any, pd.DataFrame]:
    run, task = compose_run(*RUN, *more), SaeSteer()
    return run, task.score(run, answered({row: outcome(row) for row in task.plan(run)}))


def test_features_are_chosen_on_other_prompts_than_they_are_tested_on() -> None:
    planned = list(trials(compose_run(*RUN)))
    chosen_by, tested = ({one.prompt.text for one in planned if one.choice is choice} for choice in (True, False))
    assert (len(chosen_by), len(tested)) == (3, 4) and not chosen_by & tested
    run = compose_run(*RUN)
    assert not tested & set(trained_on(run.sae, STUDY).prompts.texts), "nor was the SAE trained on them"
    assert all("guitar" in text for text in chosen_by | tested)


@pytest.mark.parametrize("steer", Steer)
@pytest.mark.parametrize("schedule", ["all", "first:0.5"])
def test_every_edit_beside_the_same_prompt_and_seed(steer: Steer, schedule: str) -> None:
    words = (f"steer={steer}", f"schedule={schedule}", "features=[3,5]", "seed=5", "layer=2", "component=mlp")
    planned = list(trials(compose_run(*RUN, *words)))
    for one in planned:
        assert (one.row.prompt, one.row.seed) == (one.baseline.prompt, one.baseline.seed) == (one.prompt.text, 5)
        assert not one.baseline.edits and bool(one.row.edits) == (one.role != "unedited")
        if one.row.edits:
            (edit,) = one.row.edits
            assert (edit.hook, edit.half) == ("blocks.2.hook_mlp_out", Half.cond)
            inner = edit.edit if one.role == "random" else edit
            assert isinstance(inner, Scheduled) == (schedule != "all"), "and so are its controls"
    tried = {one.candidate for one in planned if one.role == "candidate"}
    assert tried == ({0, 1} if steer is Steer.feature else {3, 5})


def test_a_random_one_goes_as_far_along_as_many_features() -> None:
    """For every prompt and draw along others."""
    for steer, n in {"feature": {0: 1, 1: 1}, "features": {3: 3, 5: 5}, "swap": {3: 6, 5: 10}}.items():
        planned = list(trials(compose_run(*RUN, f"steer={steer}", "features=[3,5]", "draws=2")))
        edits = {(one.candidate, one.strength, one.prompt): one.row.edits[0] for one in planned
                 if one.role == "candidate" and not one.choice}  # fmt: skip
        random = [one for one in planned if one.role == "random"]
        assert len(random) == 2 * len(edits)
        for one in random:
            (edit,) = one.row.edits
            assert isinstance(edit, RandomDirection) and edit.along is not None
            assert edit.edit == edits[one.candidate, one.strength, one.prompt], "as far as that"
            assert edit.along is not None
            assert (edit.along.source.n, edit.along.source.seed) == (n[one.candidate], 2 * one.index + one.repeat)


def test_tested_prompts_are_none_that_features_are_looked_for_in() -> None:
    """Where there are few of a genre, too; those that choose are."""
    run = compose_run(*RUN, "pair=rock-jazz", "prompts=28")
    there, planned = set(trained_on(run.sae, run.study).prompts.texts), list(trials(run))
    assert len({one.prompt.text for one in planned if not one.choice}) == 28
    assert not there & {one.prompt.text for one in planned if not one.choice}
    assert {one.prompt.text for one in planned if one.choice} <= there


def test_what_the_ways_of_steering_are() -> None:
    def first(*words: str) -> Any:
        planned = trials(compose_run(*RUN, *words))
        return next(one for one in planned if one.role == "candidate" and one.strength == 2 and not one.choice)

    edit = first("steer=feature").row.edits[0]
    assert edit.scale == 1 and edit.shift[0].weight == 2 and isinstance(edit.shift[0].source, ConceptDirection)
    assert all("piano" in text for text in edit.shift[0].source.prompts.texts)
    assert not any("piano" in text for text in edit.shift[0].source.others.texts)
    (term,) = first("steer=features", "features=[6]").row.edits[0].shift
    assert isinstance(term.source, ConceptShift) and (term.weight, term.source.n) == (2, 6)
    assert (term.source.prompts.name, term.source.others.name) == ("piano", "guitar")
    splice: Any = first("steer=swap", "features=[6]").row.edits[0]
    assert type(splice) is Splice and splice.error, "what the SAE does not explain is kept"
    changes: Any = splice.changes
    assert [(one.how, one.value, one.feature.prompts.name, one.feature.n) for one in changes] == [
        (How.zero, 0.0, "guitar", 6),
        (How.set, 2.0, "piano", 6),
    ]
    planned = trials(compose_run(*RUN))
    means = next(one.row.edits[0].shift for one in planned if one.role == "means" and one.strength == 2)
    assert [(one.weight, one.source.n) for one in means] == [(2.0, 0)], "of the hook's own values"
    assert (means[0].source.prompts.name, means[0].source.others.name) == ("piano", "guitar")


@pytest.mark.parametrize("steer", ["feature", "features"])
def test_a_contrast_is_the_opposite_in_the_other_half(steer: str) -> None:
    """Of the controls too, so that only the direction differs."""
    planned = trials(compose_run(*RUN, f"steer={steer}", "features=[6]", "contrast=0.5"))
    for one in (one for one in planned if one.role != "unedited"):
        here, there = one.row.edits
        if one.role == "random":
            assert (here.along.source, here.along.weight, there.along.weight) == (there.along.source, 1, -1)
            here, there = here.edit, there.edit
        assert (here.half, there.half) == (Half.cond, Half.uncond) and here.shift[0].source == there.shift[0].source
        assert (here.shift[0].weight, there.shift[0].weight) == (one.strength, -0.5 * one.strength)


def test_the_feature_with_the_largest_effect_is_shown_beside_that_of_highest_auroc() -> None:
    _, table = scored()
    conformed = tables.conform(table)
    assert tuple(table.columns) == SAE_STEER.names and len(conformed) == 4 * (2 * (2 + 2 + 1) + 1)
    shown: Any = table.groupby("role")[["heard", "flipped", "kept", "both", "candidate"]].mean()
    assert shown.loc["chosen"].tolist() == [1, 1, 1, 1, 1]
    assert shown.loc["auroc"].tolist() == [0, 0, 0, 0, 0]
    assert shown.loc["random"].tolist() == [0, 0, 1, 0, 1], "of the chosen one"
    assert shown.loc["unedited"].tolist() == [0, 0, 1, 0, -1]
    effect: Any = table.groupby("role")["effect"].mean()
    assert effect["chosen"] > 9 and effect["unedited"] == 0 and len(table.query("baseline != row")) == 4 * 10


def test_several_features_have_no_line_of_the_best_by_auroc() -> None:
    _, table = scored("steer=features", "features=[4]")
    assert set(table["role"]) == {"chosen", "random", "means", "unedited"}
    summary = tables.summarise(table, 99, 0.95, 0)
    assert set(summary.query("role == 'chosen'")["over"]) <= {"random", "means", "unedited"}
    assert np.isfinite(summary.query("role == 'chosen'")["slope"]).all()
    assert set(table.query("role == 'chosen'")["candidate"]) == {4} and set(table["training"].str[-3:]) == {"; 4"}


def test_the_figure_and_the_terminal_table_show_every_role(tmp_path: Path) -> None:
    _, table = scored("pair=guitar-piano+guitar-violin")
    summary = tables.summarise(table, 99, 0.95, 0)
    (picture, drawing) = SaeSteer.figures()[0](summary, tmp_path)
    assert picture.is_file()
    text = drawing.read_text()
    console = Console(width=160, file=StringIO(), record=True)
    console.print(SaeSteer.terminal(summary, 160))
    shown = console.export_text()
    for role in SAE_STEER.declared:
        assert role.word in text and role.word in shown
    assert "guitar → violin" in text and "guitar → violin" in shown


def test_a_failed_clip_keeps_its_line_and_has_no_metrics() -> None:
    run, task = compose_run(*RUN), SaeSteer()
    rows = task.plan(run)
    broken = next(one.row for one in trials(run) if one.role == "means")
    found = {row: replace(outcome(row), logits=np.full(527, np.nan)) if row == broken else outcome(row) for row in rows}
    table = task.score(run, answered(found))
    (line,) = tables.lines_of(table.query("failed"))
    assert line["role"] == "means" and np.isnan([line[name] for name in SAE_STEER.metrics]).all()


def test_the_clips_of_all_strengths_are_beside_the_unedited_one() -> None:
    run, table = scored("audio.strongest=2")
    choices = SaeSteer().choose_clips(run, table)
    assert [set(one.versions) for one in choices] == [{"original", "steered-1", "steered-2"}] * 2


BAD = {
    "steer=swap features=[0]": "features=0: expected 1 to sae.width, 256",
    "features=[]": r"features=\[\]: expected at least one number",
    "draws=0": "draws=0: expected 1 or more",
    "contrast=-1": "contrast=-1: expected 0 or more",
    "contrast=1 steer=swap": "contrast=1 goes with half=cond and steer=feature or features, not with half=cond and",
    "contrast=1 half=both": "contrast=1 goes with half=cond",
    "schedule=sometimes": "schedule=sometimes: expected all, first",
    "strengths=[0]": r"strengths=0: expected finite numbers other than 0",
    "strengths=[]": r"strengths=\[\]: expected at least one number",
    "candidates=0": "candidates=0: expected 1 or more",
    "prompts=60": "prompts=60: 40 prompts about 'guitar' are held out",
    "layer=1+2": "layer=1",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        validate(compose_run(*RUN, *word.split()))
