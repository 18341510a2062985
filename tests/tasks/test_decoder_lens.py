"""What DecoderLens asks for and what it makes of the answers, with outcomes whose sound is known."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Exit, Fit, Reading, Row
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.decoder_lens.task import DecoderLens
from tests.answers import Outcome, answered
from tests.composing import compose_run

STUDY = load_prompt_set()
LENS = ("task=decoder_lens", "prompts=4", "layer='0,6,7'", "concept=guitar+edm")
AXES = ["concept", "role", "layer"]
TOKENS = np.arange(40, dtype=np.int16).reshape(4, 10)


def outcomes_of(rows: list[Row]) -> dict[Row, Outcome]:
    """Full clips sound of the first concept that their prompt names; layer 6 too, layer 0 of violin and nothing else.

    A layer's clip has the full model's tokens but for one codebook in four.
    """
    found = {}
    for number, row in enumerate(rows):
        logits = np.linspace(-4, -5, 527, dtype=np.float32)
        named = next(c for c in STUDY.studied if f" {c.text} " in row.prompt and _is_named(row, c.name))
        heard = STUDY.concepts["violin"] if row.exit and row.exit.hook.startswith("blocks.0.") else named
        logits[list(heard.labels)] = np.linspace(3, 2, len(heard.labels))
        tokens = TOKENS.copy()
        tokens[0] += 100 if row.exit else 0
        found[row] = Outcome(logits, tokens, f"{number:064x}")
    return found


def _is_named(row: Row, concept: str) -> bool:
    """Genre prompts name an instrument as well, and instrument prompts a genre: EDM and guitar come first."""
    if " EDM " in row.prompt:
        return concept == "edm"
    return concept == "guitar" if " guitar " in row.prompt else True


def scored(*overrides: str) -> pd.DataFrame:
    run, task = compose_run(*LENS, *overrides), DecoderLens()
    return task.score(run, answered(outcomes_of(task.plan(run))))


def test_every_layer_is_one_exit_and_the_last_one_is_the_model() -> None:
    run = compose_run(*LENS)
    rows = DecoderLens().plan(run)
    plain = [row for row in rows if row.exit is None]
    assert rows[: len(plain)] == plain, "the full model's clips come first"
    exits = {row.exit for row in rows if row.exit}
    assert exits == {Exit("blocks.0.hook_resid_post"), Exit("blocks.6.hook_resid_post")}
    assert {replace(row, exit=None) for row in rows if row.exit} == set(plain)
    assert len(rows) == 3 * len(plain) == 3 * (2 * (4 + 4) - 1), "a prompt of guitar is among EDM's controls"


@pytest.mark.parametrize(("component", "point"), [("sa", "resid_mid"), ("ca", "resid_mid_cross")])
def test_within_the_last_layer_there_is_an_exit(component: str, point: str) -> None:
    rows = DecoderLens().plan(compose_run(*LENS, f"component={component}", "reading=forced"))
    exits = {row.exit for row in rows if row.exit}
    assert exits == {Exit(f"blocks.{layer}.hook_{point}", Reading.forced) for layer in (0, 6, 7)}


def test_a_tuned_lens_is_named_by_its_fit() -> None:
    rows = DecoderLens().plan(compose_run(*LENS, "lens=tuned", "lens.clips=9", "lens.seed=4"))
    assert {row.exit.lens for row in rows if row.exit} == {Fit(STUDY.every_prompt, 9, 100, 64, 4, 4)}


def names(prompt: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", prompt, re.IGNORECASE) is not None


@pytest.mark.parametrize("concept", [concept.name for concept in STUDY.studied])
def test_a_control_never_names_the_concept(concept: str) -> None:
    run = compose_run("task=decoder_lens", "prompts=80", "layer=last", f"concept={concept}")
    task = DecoderLens()
    answers = answered({row: Outcome(np.zeros(527, np.float32), TOKENS, row.key("")) for row in task.plan(run)})
    table = task.score(run, answers)
    text = STUDY.concepts[concept].text
    by_role = {role: [str(prompt) for prompt in lines["prompt"]] for role, lines in table.groupby("role")}
    assert all(names(prompt, text) for prompt in by_role["lens"])
    assert not any(names(prompt, text) for prompt in by_role["other"])
    assert len(set(by_role["other"])) == 80, "every prompt of its own"
    rivals = [c.text for c in STUDY.studied if c.category == STUDY.concepts[concept].category and c.name != concept]
    assert all(any(names(prompt, rival) for prompt in by_role["other"]) for rival in rivals), "all have a turn"


@pytest.mark.parametrize("word", ["together", "4+5", "0,together"])
def test_a_set_of_layers_is_one_line(word: str) -> None:
    set_of = word.removeprefix("0,")
    with pytest.raises(UserError, match=rf"^layer={re.escape(set_of)}: a lens reads one layer at a time; allowed: all"):
        DecoderLens().plan(compose_run(*LENS, f"layer='{word}'"))


def test_scores_are_those_of_what_is_heard() -> None:
    table = scored()
    assert tuple(table.columns) == DECODER_LENS.names
    pd.testing.assert_frame_equal(tables.conform(table), tables.conform(table.sample(frac=1, random_state=0)))
    at = {key: {name: np.asarray(lines[name]) for name in lines} for key, lines in table.groupby(AXES)}
    assert len(at) == 2 * 2 * 3 and all(len(lines["ndcg"]) == 4 for lines in at.values())
    for concept in ("guitar", "edm"):
        for layer in ("6", "7"):
            own, other = at[concept, "lens", layer], at[concept, "other", layer]
            assert (own["ndcg"] == 1).all(), "its labels and nothing above them"
            assert (own["heard"] == 1).all()
            assert (other["ndcg"] < 0.5).all() and (other["heard"] == 0).all()
        lost = at[concept, "lens", "0"]
        assert (lost["ndcg"] < 0.5).all() and (lost["ndcg_full"] == 1).all()
        assert (lost["heard"] == 0).all()
    for layer, lines in ((str(part["layer"][0]), part) for part in at.values()):
        assert (lines["agreement"] == (1 if layer == "7" else 0.75)).all()
        assert (lines["row"] == lines["baseline"]).all() == (layer == "7")
    logits = np.linspace(-4, -5, 527)
    logits[list(STUDY.concepts["guitar"].labels)] = np.linspace(3, 2, 5)
    odds = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(at["guitar", "lens", "7"]["p"], odds[STUDY.concepts["guitar"].labels[0]], rtol=1e-5)


@pytest.mark.parametrize("of", ["the clip", "the full model"])
def test_a_failed_clip_keeps_its_line(of: str) -> None:
    run, task = compose_run(*LENS, "concept=guitar"), DecoderLens()
    outcomes = outcomes_of(task.plan(run))
    bad = next(row for row in outcomes if (row.exit is None) == (of == "the full model"))
    outcomes[bad].logits[:] = np.nan
    table = task.score(run, answered(outcomes))
    failed = table[table["failed"]]
    assert len(table) == 2 * 3 * 4
    assert set(failed["prompt"]) == {bad.prompt}
    assert len(failed) == (1 if of == "the clip" else 3)
    missing = np.isnan(table[list(DECODER_LENS.metrics)].to_numpy())
    assert np.array_equal(missing, np.broadcast_to(table["failed"].to_numpy()[:, None], missing.shape))


def test_tokens_that_were_not_kept_cannot_agree() -> None:
    run, task = compose_run(*LENS), DecoderLens()
    outcomes = outcomes_of(task.plan(run))
    spare = {row: replace(outcome, tokens=np.zeros((4, 0), np.int16)) for row, outcome in outcomes.items()}
    table = task.score(run, answered(spare))
    assert np.isnan(table["agreement"].to_numpy()).all() and np.isfinite(table["ndcg"].to_numpy()).all()


def test_the_first_prompts_are_heard_through_all_layers() -> None:
    run, task = compose_run(*LENS, "audio.strongest=2"), DecoderLens()
    outcomes = outcomes_of(task.plan(run))
    choices = task.choose_clips(run, task.score(run, answered(outcomes)))
    names = {f"{c}_prompt-00{i}_layer-{n}" for c in ("guitar", "edm") for i in (0, 1) for n in (0, 6, 7)}
    assert {choice.name for choice in choices} == names and len(choices) == len(names)
    keys = {outcome.key for outcome in outcomes.values()}
    assert all(list(choice.versions) == ["decoder"] and {*choice.versions.values()} <= keys for choice in choices)
