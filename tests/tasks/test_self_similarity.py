"""What self-similarity asks for and writes down, with records whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Half, Similarity
from mech_music.engine.engine import Answers
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from mech_music.tasks.self_similarity.task import SelfSimilarity
from tests.composing import compose_run

STUDY = load_prompt_set()
RUN = ("task=self_similarity", "prompts=3", "concept=guitar+jazz")


def answers_of(sources: list[Similarity]) -> Answers:
    """Clip ``i`` of the ``n``-th concept, layers ``a`` and ``b``: ``100 n + a + b / 10 + i / 100``; 1000 more moved."""
    layer = np.arange(8)
    records = {}
    for n, source in enumerate(sources):
        values = 100 * n + layer[:, None] + layer / 10 + np.arange(len(source.prompts))[:, None, None] / 100
        record = {f"layers_{name}": values for name in SELF_SIMILARITY.metrics}
        records[source] = record | {f"moved_{name}": values + 1000 for name in SELF_SIMILARITY.metrics}
    return Answers({}, records=records)


def test_one_recording_for_each_concept() -> None:
    wanted = [
        Similarity("resid_mid", STUDY.prompts_of(STUDY.concepts[name], 3), 5, Half.cond) for name in ("guitar", "jazz")
    ]
    assert SelfSimilarity().plan(compose_run(*RUN, "component=sa", "half=cond", "seed=5", "layer='0,2'")) == wanted


def test_every_pair_of_layers_has_a_line_for_each_prompt() -> None:
    run, task = compose_run(*RUN, "layer='6,0,last'"), SelfSimilarity()
    table = task.score(run, answers_of(task.plan(run)))
    assert tuple(table.columns) == SELF_SIMILARITY.names
    conformed = tables.conform(table)
    assert len(conformed) == 2 * 2 * 6 * 3 and not conformed["failed"].to_numpy().any()
    pairs = set(zip(table["layer"], table["other"], strict=True))
    assert pairs == {("0", "0"), ("0", "6"), ("0", "7"), ("6", "6"), ("6", "7"), ("7", "7")}
    n, moved = table["concept"] == "jazz", table["role"] == "moved"
    wanted = (
        100 * n + 1000 * moved + table["layer"].astype(int) + table["other"].astype(int) / 10 + table["index"] / 100
    )
    for name in SELF_SIMILARITY.metrics:
        np.testing.assert_allclose(table[name], wanted)
    lines = table[(table["concept"] == "jazz") & moved & (table["layer"] == "0") & (table["other"] == "7")]
    assert lines["prompt"].tolist() == [prompt.text for prompt in STUDY.concept_prompts(STUDY.concepts["jazz"], 3)]
    assert task.choose_clips(run, table) == []


def test_a_set_of_layers_is_one_line() -> None:
    run, task = compose_run(*RUN, "layer=together"), SelfSimilarity()
    with pytest.raises(UserError, match="^layer=together: a lens reads one layer at a time"):
        task.score(run, answers_of(task.plan(run)))
