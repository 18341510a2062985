"""What the main job asks for and what it makes of the answers, with outcomes whose effect is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.row import Edit, Half, Mean, RandomDirection, Row, Term
from mech_music.prompts.declared import load_prompt_set
from mech_music.saes.named import ConceptDirection, TrainedSae
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.task import Interchange
from mech_music.tasks.interchange.trials import trials
from tests import composing
from tests.answers import Outcome, answered

STUDY = load_prompt_set()
GUITAR, PIANO, ROCK, JAZZ = (STUDY.concepts[name].labels[0] for name in ("guitar", "piano", "rock", "jazz"))
TOKENS = np.zeros((4, 1), np.int16)


def compose_run(*words: str) -> Any:
    """Without metrics that other listeners than the classifier have to hear."""
    return composing.compose_run("metrics=[]", *words)


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
    run = compose_run("prompts=3", "layer='0,2'", "controls=[]", "design=velez2024")
    rows = Interchange().plan(run)
    assert len(rows) == 3 + 2 * 3
    assert [row.edits for row in rows[:3]] == [()] * 3, "the unedited clips come first"
    mean = Mean(STUDY.prompts_of(STUDY.concepts["piano"], 3))
    assert {row.edits for row in rows[3:]} == {
        (Edit(f"blocks.{layer}.hook_mlp_out", 0.0, (Term(1.0, mean),)),) for layer in (0, 2)
    }


def test_adjust_adds_the_difference_of_the_means_in_its_frames_and_half() -> None:
    run = compose_run(
        "technique=adjust", "component=ca", "layer=1", "frames=0s:1s", "half=cond", "controls=[]", "design=velez2024"
    )
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
    # Unedited, six of the noise floor; at each layer technique, self of two seeds, two others, two random directions.
    assert len(rows) == 4 + 6 * 4 + 7 * 2 * 4
    assert len({row.seed for row in rows if not row.edits}) == 7
    randoms = [row.edits[0] for row in rows if row.edits and isinstance(row.edits[0], RandomDirection)]
    assert len({edit.seed for edit in randoms}) == 4 * 2, "a direction for every prompt and draw, at both layers"
    assert {edit.edit.scale for edit in randoms} == {0.0}, "as far as replacing moves"
    own = [row.edits[0] for row in rows if row.edits and isinstance(row.edits[0], Edit)]
    names = {edit.shift[0].source.prompts.name.partition(",")[0] for edit in own}
    assert names == {"guitar", "piano", "trumpet", "violin"}


def test_a_control_without_anything_to_draw_has_a_clip_of_another_seed() -> None:
    """Its effect counts in the control's mean, beside the same unedited clip; what its edit costs cannot be told."""
    run = compose_run("prompts=3", "layer=3", "design.draws=2", "controls=[self]")
    own = {draw: [one for one in trials(run) if (one.role, one.repeat) == ("self", draw)] for draw in (0, 1)}
    for first, second in zip(own[0], own[1], strict=True):
        assert first.row.seed == first.baseline.seed == second.baseline.seed != second.row.seed
        assert first.row.edits == second.row.edits and first.index == second.index
    assert len({one.row for one in [*own[0], *own[1]]}) == 6
    table = Interchange().score(run, answered(outcomes_of(Interchange().plan(run)))).query("role == 'self'")
    precise = table["precision"].notna().to_numpy()
    assert (precise == (table["repeat"].to_numpy() == 0)).all() and np.isfinite(table["effectiveness"].to_numpy()).all()
    assert not table["failed"].to_numpy().any()


def test_directions_differ_between_pairs_and_seeds() -> None:
    def seeds(*words: str) -> set[int]:
        run = compose_run("prompts=2", "layer=1", "controls=[random]", *words)
        return {edit.seed for row in Interchange().plan(run) for edit in row.edits if isinstance(edit, RandomDirection)}

    assert len(seeds()) == 4
    assert not seeds() & seeds("pair=guitar-violin") and not seeds() & seeds("seed=9")
    assert seeds("layer=2") == seeds(), "the hook makes them differ"


# -- the design ----------------------------------------------------------------------------------------------


def test_means_come_from_prompts_of_other_moods() -> None:
    run = compose_run("technique=adjust", "prompts=10", "layer=1", "design.mean_prompts=10", "controls=[self]")
    for trial in trials(run):
        (edit,) = trial.row.edits
        for name in {"original", "desired"} if trial.role == "technique" else {"original"}:
            concept, sign = getattr(trial, name), -1 if name == "original" and trial.role == "technique" else 1
            own = [term for term in edit.shift if term.source.prompts.name.startswith(concept.name)]
            texts = [text for term in own for text in term.source.prompts.texts]
            assert len(texts) == 8 and all(concept.text in text for text in texts)
            assert not any(f" {trial.prompt.words['mood']} " in text for text in texts)
            assert {mood for mood in STUDY.categories["mood"].words for text in texts if f" {mood} " in text} == {
                *STUDY.categories["mood"].words
            } - {trial.prompt.words["mood"]}
            assert sum(term.weight for term in own) == pytest.approx(sign)


def test_the_papers_design_takes_means_over_the_evaluated_prompts() -> None:
    run = compose_run("prompts=7", "layer=1", "controls=[]", "design=velez2024")
    rows = Interchange().plan(run)
    assert [row.prompt for row in rows[:7]] == [
        prompt.text for prompt in STUDY.concept_prompts(STUDY.concepts["guitar"], 7)
    ]
    (term,) = rows[-1].edits[0].shift
    assert term == Term(1.0, Mean(STUDY.prompts_of(STUDY.concepts["piano"], 7)))


@pytest.mark.parametrize("n", [5, 10, 33, 75])
def test_any_first_prompts_are_balanced(n: int) -> None:
    prompts = compose_run(f"prompts={n}", "design=held_out").evaluated(
        STUDY.concepts["guitar"], STUDY.concepts["piano"]
    )
    for words in zip(*((one.words["mood"], one.words["genre"], one.words["tempo"]) for one in prompts), strict=True):
        counts = [words.count(word) for word in set(words)]
        assert len(counts) == 5 and max(counts) - min(counts) <= 1


def test_a_prompt_that_names_the_desired_concept_is_not_evaluated() -> None:
    run = compose_run("pair=piano-rock", "prompts=100")
    assert not any("rock" in one.text for one in run.evaluated(STUDY.concepts["piano"], STUDY.concepts["rock"]))
    with pytest.raises(UserError, match="101 prompts asked for 'piano' that do not name rock: allowed are 1 to 100"):
        compose_run("pair=piano-rock", "prompts=101").evaluated(STUDY.concepts["piano"], STUDY.concepts["rock"])


def test_several_seeds_are_several_clips_of_each_prompt() -> None:
    run = compose_run("prompts=2", "layer=1", "design.seeds=3", "design.noise=4", "controls=[random,noise]", "seed=5")
    found = list(trials(run))
    counts = {role: sum(trial.role == role for trial in found) for role in ("technique", "random", "noise")}
    assert counts == {"technique": 6, "random": 12, "noise": 24}
    assert {trial.baseline.seed for trial in found} == {5, 6, 7}
    assert all(len({(t.index, t.repeat) for t in found if t.role == role}) == n for role, n in counts.items())
    assert len({trial.row for trial in found if trial.role == "noise"}) == 24, "every draw another clip"


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
    assert {trial.role for trial in trials(run)} - {"technique"} == left
    assert f"technique {technique} itself: left out" in caplog.text


def test_the_control_other_is_the_edit_towards_third_concepts_scored_as_the_pair() -> None:
    words = ("layer='2,together'", "prompts=3", "design.mean_prompts=5")
    run = compose_run("pair=guitar-piano", "controls=[other]", "design.draws=3", *words)
    others = [trial for trial in trials(run) if trial.role == "other"]
    assert {trial.desired.name for trial in others} == {"piano"}
    for draw, third in enumerate(("trumpet", "violin")):
        expected = [trial.row for trial in trials(compose_run(f"pair=guitar-{third}", "controls=[]", *words))]
        assert [trial.row for trial in others if trial.repeat % 2 == draw] == expected
    for original, desired in permutations(STUDY.studied, 2):
        third = STUDY.third_concepts(original, desired)
        assert len(set(third)) == len(third) >= 2 and not {original, desired} & {*third}
        assert {concept.category for concept in third} == {desired.category}


def test_a_features_direction_is_a_technique_with_the_same_controls() -> None:
    """As long as its largest activation, of the concept that it is moved towards; and of none of the evaluated clips'
    own means."""
    words = ("technique=feature", "layer=2", "component=resid", "prompts=3", "strength=1.5", "half=cond")
    run = compose_run(*words, "technique.sae.width=128", "design.draws=2")
    planned = list(trials(run))
    assert {one.role for one in planned} == {"technique", "self", "other", "random", "noise"}
    (edit,) = next(one.row.edits for one in planned if one.role == "technique")
    (term,) = edit.shift
    assert isinstance(edit, Edit) and (edit.hook, edit.scale, edit.half) == ("blocks.2.hook_resid_post", 1.0, Half.cond)
    assert isinstance(term.source, ConceptDirection) and term.weight == 1.5
    sae = term.source.firing.sae
    assert isinstance(sae, TrainedSae) and (sae.hook, sae.fit.n_features) == (edit.hook, 128)
    assert term.source.prompts.name == "piano"
    others = {one.row.edits[0].shift[0].source.prompts.name for one in planned if one.role == "other"}
    assert others == {"trumpet", "violin"}
    random = next(one.row.edits[0] for one in planned if one.role == "random")
    assert isinstance(random, RandomDirection) and random.edit == edit, "as far as that"
    assert isinstance(next(one.row.edits[0] for one in planned if one.role == "self").shift[0].source, Mean)
    task = Interchange()
    table = task.score(run, answered(outcomes_of(task.plan(run))))
    assert (table["design"] == run.told_design).all() and "features of 128/16 topk, cond, seed 0" in run.told_design
    assert compose_run("layer=2").told_design == compose_run("layer=2").design.told, "no other table changes"


def test_features_are_tried_on_prompts_that_they_were_not_trained_on() -> None:
    words = ("layer=2:feature+4:ablate", "component=resid", "prompts=20", "controls=[]", "pair=rock-jazz")
    rows = [trial.row for trial in trials(compose_run(*words))]
    sae = next(iter(rows[0].edits[0].shift)).source.firing.sae
    seen = {row.prompt for row in sae.fit.harvest.rows} | set(sae.fit.harvest.prompts.texts)
    assert len({row.prompt for row in rows}) == 20 and not seen & {row.prompt for row in rows}
    plain = {trial.row.prompt for trial in trials(compose_run("layer=2:steer", *words[1:]))}
    assert len(seen & plain) > 10, "without features they are the first ones, as ever"


def test_a_feature_of_a_layer_beside_another_technique() -> None:
    run = compose_run("layer=2:feature+4:ablate", "component=resid", "prompts=2", "controls=[]")
    edits = next(iter(trials(run))).row.edits
    assert [type(edit.shift[0].source) if edit.shift else None for edit in edits] == [ConceptDirection, None]
    assert "features of 256/16" in run.told_design


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("technique.sae.k=500",), "sae.k=500: expected 1 to sae.width, 256"),
        (("+technique.sae.witdh=3",), "unknown key of sae 'witdh'; did you mean width"),
        (
            ("prompts=60",),
            "60 prompts asked for 'guitar' .* features were not trained on: allowed are 1 to 2., or more ",
        ),
        (("component=ca", "head=1"), "head=1: technique feature adds features of a whole output"),
    ],
)
def test_what_is_no_feature_is_one_line(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}"):
        validate(compose_run("technique=feature", "layer=2", "prompts=20", *words))


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
def test_flipped_is_desired_above_its_whole_category(boost: float, flipped: float) -> None:
    run = compose_run("prompts=2", "layer=0", "controls=[]")
    task = Interchange()
    outcomes = outcomes_of(task.plan(run), boost)
    table = task.score(run, answered(outcomes))
    assert table["flipped"].tolist() == table["flipped_pair"].tolist() == [flipped] * 2
    for outcome in outcomes.values():
        outcome.logits[STUDY.concepts["violin"].labels[0]] = 4.0
    table = task.score(run, answered(outcomes))
    assert table["flipped"].tolist() == [0.0] * 2, "a third instrument is heard"
    assert table["flipped_pair"].tolist() == [flipped] * 2


def test_kept_asks_for_the_word_of_the_other_category() -> None:
    """With three prompts all are rock; a clip that is heard as jazz has lost its genre."""
    run = compose_run("prompts=3", "layer=0", "controls=[]", "design=velez2024")
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
    run = compose_run("prompts=15", "layer=0", "controls=[]", "design=velez2024")
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
    found = [trial.row.edits[0] for trial in trials(run)]
    plain = [edit for edit in found if isinstance(edit, Edit)]
    randoms = [edit for edit in found if isinstance(edit, RandomDirection)]
    assert [edit.edit for edit in randoms] == [edit for edit in plain for _ in range(run.design.draws)]


def test_a_shift_may_name_any_concept() -> None:
    words = ("technique.shift.desired=0", "+technique.shift.violin=1", "prompts=1", "layer=1", "controls=[]")
    run = compose_run("technique=replace", *words)
    (edit,) = Interchange().plan(run)[-1].edits
    assert {term.source.prompts.name.partition(",")[0] for term in edit.shift} == {"violin"}


def test_a_tempo_is_scored_by_who_hears_tempi_and_the_instrument_is_kept() -> None:
    """Classifier and tempo listener say different things of the same clips; each is asked for its own."""
    run = compose_run("pair=slow-fast", "prompts=2", "layer=0", "controls=[]", "design=velez2024")
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
    run = compose_run("prompts=6", "layer=0", "controls=[]", "design=velez2024", words)
    task = Interchange()
    table = task.score(run, answered(outcomes_of(task.plan(run))))
    unheard = table["kept"].isna().tolist()
    assert unheard == [" polka " in prompt for prompt in table["prompt"]] and sum(unheard) == 5


# -- projections, parts, heads -------------------------------------------------------------------------------
