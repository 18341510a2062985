"""What steering asks for, how a feature is chosen, and what is written down, with listeners whose ears are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.row import Edit, Half, Mean, Row
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.saes.named import ConceptDirection
from mech_music.saes.settings import trained_on
from mech_music.tasks.sae_steer.columns import SAE_STEER
from mech_music.tasks.sae_steer.task import SaeSteer
from mech_music.tasks.sae_steer.trials import trials
from tests.answers import Outcome, answered
from tests.composing import compose_run

STUDY = load_prompt_set()
GUITAR, PIANO = (STUDY.concepts[name].labels[0] for name in ("guitar", "piano"))
RUN = ("task=sae_steer", "prompts=4", "choice_prompts=3", "strengths=[1,2]", "candidates=2")


def direction_of(row: Row) -> Any:
    return row.edits[0].shift[0].source if row.edits else None


def outcome(row: Row) -> Outcome:
    """The candidate of rank 1 makes a piano of every clip and keeps its genre; that of rank 0 loses both."""
    logits = np.full(527, -9.0)
    source = direction_of(row)
    steered = isinstance(source, ConceptDirection) and source.draw is None and source.rank == 1
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


def test_every_edit_beside_the_same_prompt_and_seed() -> None:
    planned = list(trials(compose_run(*RUN, "seed=5", "layer=2", "component=mlp")))
    for one in planned:
        assert (one.row.prompt, one.row.seed) == (one.baseline.prompt, one.baseline.seed) == (one.prompt.text, 5)
        assert not one.baseline.edits and bool(one.row.edits) == (one.role != "unedited")
    edit = next(one.row.edits[0] for one in planned if one.role == "random" and one.strength == 2)
    assert isinstance(edit, Edit) and (edit.hook, edit.half, edit.scale) == ("blocks.2.hook_mlp_out", Half.cond, 1.0)
    assert edit.shift[0].weight == 2
    drawn = {direction_of(one.row).draw for one in planned if one.role == "random"}
    assert drawn == {0, 1, 2, 3}, "another one for each prompt"
    means = next(one.row.edits[0].shift for one in planned if one.role == "means")
    assert [(term.weight, term.source.prompts.name) for term in means] == [(1.0, "piano"), (-1.0, "guitar")]
    assert isinstance(means[0].source, Mean)
    source = direction_of(planned[0].row)
    assert all("piano" in text for text in source.prompts.texts) and not any(
        "piano" in one for one in source.others.texts
    )


def test_the_feature_with_the_largest_effect_is_shown_beside_that_of_highest_auroc() -> None:
    _, table = scored()
    conformed = tables.conform(table)
    assert tuple(table.columns) == SAE_STEER.names and len(conformed) == 4 * (2 * 4 + 1)
    shown: Any = table.groupby("role")[["heard", "flipped", "kept", "both", "rank"]].mean()
    assert shown.loc["chosen"].tolist() == [1, 1, 1, 1, 1]
    assert shown.loc["auroc"].tolist() == [0, 0, 0, 0, 0]
    assert shown.loc["unedited"].tolist() == [0, 0, 1, 0, -1]
    effect: Any = table.groupby("role")["effect"].mean()
    assert effect["chosen"] > 9 and effect["unedited"] == 0 and len(table.query("baseline != row")) == 4 * 8


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
    "strengths=[0]": r"strengths=0: expected finite numbers other than 0",
    "strengths=[]": r"strengths=\[\]: expected at least one number",
    "candidates=0": "candidates=0: expected 1 or more",
    "prompts=200": "prompts=200 beside choice_prompts=3: there are 175 prompts about 'guitar'",
    "layer=1+2": "layer=1",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        validate(compose_run(*RUN, word))
