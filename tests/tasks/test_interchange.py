"""What the main job asks for and what it makes of the answers, with outcomes whose effect is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from mech_music.edits.row import Edit, Half, Mean, Row, Term
from mech_music.prompts.declared import load_prompt_set
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.task import Interchange, _trials
from tests.answers import Outcome, answered
from tests.composing import compose_run

STUDY = load_prompt_set()
GUITAR, PIANO, ROCK, JAZZ = (STUDY.concepts[name].labels[0] for name in ("guitar", "piano", "rock", "jazz"))
TOKENS = np.zeros((4, 1), np.int16)


def outcomes_of(rows: list[Row], boost: float = 3.0) -> dict[Row, Outcome]:
    """Every clip sounds of guitar and of its genre; an edited one has its piano logit raised by ``boost``."""
    found = {}
    for number, row in enumerate(dict.fromkeys(rows)):
        logits = np.full(527, -4.0, np.float32)
        logits[GUITAR] = 2.0
        logits[ROCK if " rock " in row.prompt else JAZZ] = 1.0
        if row.edits:
            logits[PIANO] += boost
        found[row] = Outcome(logits, TOKENS, f"{number:064x}")
    return found


def test_replace_is_one_edit_a_layer_with_the_desired_mean() -> None:
    run = compose_run("prompts=3", "layer='0,2'", "controls=[]")
    rows = Interchange().plan(run)
    assert len(rows) == 3 + 2 * 3
    assert [row.edits for row in rows[:3]] == [()] * 3, "the unedited clips come first"
    mean = Mean(STUDY.prompts_of(STUDY.concepts["piano"], 3))
    assert {row.edits for row in rows[3:]} == {
        (Edit(f"blocks.{layer}.hook_mlp_out", 0.0, (Term(1.0, mean),)),) for layer in (0, 2)
    }


def test_adjust_adds_the_difference_of_the_means_in_its_frames_and_half() -> None:
    run = compose_run("technique=adjust", "component=ca", "layer=1", "frames=0s:1s", "half=cond", "controls=[]")
    (edit,) = Interchange().plan(run)[-1].edits
    assert edit.hook == "blocks.1.hook_cross_attn_out"
    assert (edit.scale, edit.frames, edit.half) == (1.0, (0, 25), Half.cond)
    assert {(term.weight, term.source.prompts.name) for term in edit.shift} == {(1.0, "piano"), (-1.0, "guitar")}


def test_together_edits_every_layer_of_one_clip() -> None:
    run = compose_run("prompts=2", "layer=together", "controls=[]")
    rows = Interchange().plan(run)
    assert len(rows) == 2 + 2
    assert [edit.hook for edit in rows[-1].edits] == [f"blocks.{layer}.hook_mlp_out" for layer in range(8)]


def test_controls_are_planned_beside_every_effect() -> None:
    run = compose_run("prompts=4", "layer='3,5'")
    rows = Interchange().plan(run)
    assert len(rows) == 4 + 4 + 3 * 2 * 4  # unedited, noise floor, (technique, self, random) × layers × prompts
    assert len({row.seed for row in rows if not row.edits}) == 2
    randoms = [row.edits[0].random for row in rows if row.edits and row.edits[0].random is not None]
    assert sorted(randoms) == [0, 0, 1, 1, 2, 2, 3, 3], "a direction for every prompt"
    own = [row.edits[0] for row in rows if row.edits and row.edits[0].scale == 0]
    assert {edit.shift[0].source.prompts.name for edit in own} == {"guitar", "piano"}


@pytest.mark.parametrize(
    ("technique", "left"),
    [
        ("ablate-mean", {"random", "noise"}),
        ("ablate", {"self", "random", "noise"}),
        ("random", {"self", "noise", "other"}),
    ],
)
def test_a_control_that_is_the_technique_itself_is_left_out(
    technique: str, left: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = compose_run(f"technique={technique}", "layer=2", "prompts=2", "controls=[self,random,noise,other]")
    assert {trial.role for trial in _trials(run)} - {"technique"} == left
    assert f"technique {technique} itself: left out" in caplog.text


def test_the_control_other_is_the_edit_towards_a_third_concept_scored_as_the_pair() -> None:
    run = compose_run("pair=guitar-piano", "layer='2,together'", "prompts=3", "controls=[other]")
    trials = list(_trials(run))
    others = {(trial.layer, trial.index): trial for trial in trials if trial.role == "other"}
    third = compose_run("pair=guitar-trumpet", "layer='2,together'", "prompts=3", "controls=[]")
    expected = {(trial.layer, trial.index): trial.row for trial in _trials(third)}
    assert {place: trial.row for place, trial in others.items()} == expected
    assert {trial.desired.name for trial in others.values()} == {"piano"}
    for original, desired in permutations(STUDY.studied, 2):
        other = STUDY.another_concept(original, desired)
        assert other.category == desired.category and other not in (original, desired)


def test_scores_are_those_of_the_known_effect() -> None:
    run = compose_run("prompts=5", "layer=0", "controls=[noise]")
    task = Interchange()
    table = task.score(run, answered(outcomes_of(task.plan(run))))
    assert tuple(table.columns) == INTERCHANGE.names
    effect = table[table["role"] == "technique"]
    noise = table[table["role"] == "noise"]
    # Raising one logit by b raises its log odds by b; guitar's odds change only by piano's share of the rest.
    np.testing.assert_allclose(effect["effectiveness_desired"], 3.0, atol=1e-6)
    original = np.asarray(effect["effectiveness_original"])
    assert (original > 0).all() and (original < 0.2).all()
    np.testing.assert_allclose(noise["effectiveness"], 0.0, atol=1e-9)
    assert (np.asarray(effect["precision"]) < 0).all()
    np.testing.assert_allclose(noise["precision"], 0.0, atol=1e-9)
    assert (np.asarray(effect["p_desired"]) > np.asarray(effect["p_desired_before"])).all()


@pytest.mark.parametrize(("boost", "flipped"), [(5.0, 0.0), (7.0, 1.0)])
def test_flipped_is_desired_above_original(boost: float, flipped: float) -> None:
    run = compose_run("prompts=2", "layer=0", "controls=[]")
    task = Interchange()
    table = task.score(run, answered(outcomes_of(task.plan(run), boost)))
    assert table["flipped"].tolist() == [flipped] * 2


def test_kept_asks_for_the_word_of_the_other_category() -> None:
    """With three prompts all are rock; a clip that is heard as jazz has lost its genre."""
    run = compose_run("prompts=3", "layer=0", "controls=[]")
    task = Interchange()
    outcomes = outcomes_of(task.plan(run))
    spoilt = next(row for row in outcomes if row.edits)
    outcomes[spoilt].logits[JAZZ] = 1.5
    table = task.score(run, answered(outcomes))
    assert table["kept_before"].tolist() == [1.0, 1.0, 1.0]
    assert table["kept"].tolist() == [0.0, 1.0, 1.0]


def test_failed_clip_keeps_its_line() -> None:
    run = compose_run("prompts=3", "layer=0", "controls=[]")
    task = Interchange()
    outcomes = outcomes_of(task.plan(run))
    bad = next(row for row in outcomes if row.edits)
    outcomes[bad].logits[:] = np.nan
    table = task.score(run, answered(outcomes))
    assert table["failed"].tolist() == [True, False, False]
    assert table["effectiveness"].isna().tolist() == [True, False, False]


def test_kept_counts_a_relevant_label_and_has_no_meaning_across_categories() -> None:
    run = compose_run("prompts=15", "layer=0", "controls=[]")
    task = Interchange()
    outcomes = outcomes_of(task.plan(run))
    for row in outcomes:
        if " electronic " in row.prompt:
            outcomes[row].logits[STUDY.concepts["edm"].labels[0]] = 5.0
    table = task.score(run, answered(outcomes))
    electronic = table[table["prompt"].str.contains(" electronic ")]
    assert electronic["kept"].tolist() == [1.0] * 5, "EDM is electronic music"
    across = compose_run("prompts=2", "layer=0", "controls=[]", "pair=guitar-jazz")
    table = task.score(across, answered(outcomes_of(task.plan(across))))
    assert np.isnan(table[["kept", "kept_before"]].to_numpy()).all()


def test_the_random_control_pushes_as_far_as_the_technique() -> None:
    run = compose_run("technique=steer", "strength=2.5", "prompts=2", "layer=last", "controls=[random]")
    edits = {edit for row in Interchange().plan(run) for edit in row.edits}
    weights = {tuple(sorted(term.weight for term in edit.shift)) for edit in edits}
    assert weights == {(-2.5, 2.5)}
    assert {edit.random for edit in edits} == {None, 0, 1}


def test_a_tempo_is_scored_by_who_hears_tempi_and_the_instrument_is_kept() -> None:
    """Classifier and tempo listener say different things of the same clips; each is asked for its own."""
    run = compose_run("pair=slow-fast", "prompts=2", "layer=0", "controls=[]")
    task = Interchange()
    assert task.listeners(run) == ("tempo", "classifier")
    rows = task.plan(run)
    assert {row.prompt for row in rows} == {prompt.text for prompt in STUDY.concept_prompts(STUDY.concepts["slow"], 2)}
    outcomes = outcomes_of(rows)
    answers = answered(outcomes)
    slow, fast = (STUDY.concepts[name].labels[0] for name in ("slow", "fast"))
    tempi = {}
    for row, outcome in outcomes.items():
        logits = np.zeros(5, np.float32)
        logits[fast if row.edits else slow] = 2.0
        tempi[outcome.key] = {"logits": logits}
    table = task.score(run, replace(answers, readings={**answers.readings, "tempo": tempi}))
    # The odds of a class of two nats above four others are e² / 4; of one of the others, 1 / (e² + 3).
    up = 2 - np.log(4) + np.log(np.exp(2) + 3)
    np.testing.assert_allclose(table["effectiveness_desired"], up, rtol=1e-6)
    np.testing.assert_allclose(table["effectiveness_original"], up, rtol=1e-6)
    assert table["flipped"].tolist() == [1.0, 1.0]
    # The clips sound of a guitar; the first prompt asks for one, the second for a piano.
    assert table["kept"].tolist() == table["kept_before"].tolist() == [1.0, 0.0]
    assert set(table["prompt_set"]) == {"velez2024"}


def test_kept_says_nothing_of_a_word_that_nobody_hears() -> None:
    words = "prompt_set.categories.genre.words=[polka,rock]"
    run = compose_run("prompts=6", "layer=0", "controls=[]", words)
    task = Interchange()
    table = task.score(run, answered(outcomes_of(task.plan(run))))
    unheard = table["kept"].isna().tolist()
    assert unheard == [" polka " in prompt for prompt in table["prompt"]] and sum(unheard) == 5
