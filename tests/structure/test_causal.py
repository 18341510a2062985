"""Heads found, ablated and patched on a model whose copying is known: one head does it all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.engine.answers import Answers
from mech_music.engine.engine import Engine
from mech_music.structure.causes import ablation, continuing, restoring  # noqa: F401
from mech_music.structure.causes.candidates import heads_of
from mech_music.structure.causes.conditions import (
    AlongReturns,
    Condition,
    Continued,
    Forced,
    HeadScores,
    HeadSet,
    PieceSet,
    Restored,
    Study,
)
from mech_music.structure.causes.head_scores import found_on, induction
from mech_music.structure.causes.heads import Head, ranked
from mech_music.structure.pieces.annotated import Kind
from tests.structure.copying import CARD, COPIES, IDLE, ITSELF, N_FRAMES, CopiedPieces, CopyingGenerator

N = 12
KINDS = list(Kind)


def engine(folder: Path) -> Engine:
    made = Engine.of(CopyingGenerator(), folder, duration=(N_FRAMES + 0.5) / 20.0, listeners={}, quiet=True)
    made.how.workers = 1
    return made


def scores_of(pieces: CopiedPieces, n: int = N) -> HeadScores:
    return HeadScores(PieceSet(pieces.id, n, 0, pieces), recent=1)


SCORES = scores_of(CopiedPieces())
HEADS = Study(SCORES, HeadSet())
NONE = Condition()


def forced(condition: Condition, study: Study = HEADS) -> Forced:
    return Forced(study, condition, guidance=1.0, settle=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    one = {role: Condition(role, 1, 0, "mean") for role in ("found", "random", "local")}
    conditions = [NONE, *one.values(), Condition("found", 1, 0, "zero"), Condition("found", 1, 0, "1")]
    patch = [NONE, *(Condition(role, 1, 0, "patch") for role in ("found", "random")), Condition("all", 0, 0, "patch")]
    requests = [
        SCORES,
        *map(forced, conditions),
        *(Restored(HEADS, condition, 1.0, 1) for condition in patch),
        *(Continued(HEADS, condition, 0) for condition in (NONE, one["found"], one["random"])),
        *(forced(Condition(role, 1, 0, "0"), Study(SCORES, AlongReturns(0))) for role in ("found", "random")),
    ]
    return engine(tmp_path_factory.mktemp("store")).answers(requests)


def nats(found: Answers, source: Forced, kind: Kind) -> float:
    record, place = found.records[source], KINDS.index(kind)
    return float(record["nats"][:, place].sum() / record["tokens"][:, place].sum())


def cost(found: Answers, condition: Condition, kind: Kind) -> float:
    return nats(found, forced(condition), kind) - nats(found, forced(NONE), kind)


# -- scores ------------------------------------------------------------------------------------------------


def test_the_head_that_copies_attends_to_what_the_source_read_and_to_nothing_else(found: Answers) -> None:
    record = found.records[SCORES]
    for tested in (False, True):
        source, other, lag = (found_on(record, name, tested)[0] for name in ("source", "elsewhere", "same_lag"))
        assert abs(source[COPIES] - 5 / 6) < 0.02, "all but a return's first step, which nothing announces"
        assert other[COPIES] < 0.01 and lag[COPIES] < 0.15, "what follows a return was the source's own next at first"
        assert source[ITSELF] < 0.01 and 0.02 < source[IDLE] < 0.1, "an idle head looks at everything alike"
        assert ranked(induction(record, tested))[0] == Head(0, COPIES)
    assert found_on(record, "recent")[0, ITSELF] > found_on(record, "recent")[0, IDLE]
    around = found_on(record, "around")[0, COPIES]
    assert around.argmax() == len(around) // 2, "one after where the source's step was"


def test_only_the_head_that_copies_raises_the_sources_token(found: Answers) -> None:
    copying = found_on(found.records[SCORES], "copying")[0]
    assert copying[COPIES] > 5 and np.abs(copying[[ITSELF, IDLE]]).max() < 1e-4


def test_attention_by_beats_sums_to_one_and_returns_look_where_their_lag_is(found: Answers) -> None:
    record = found.records[SCORES]
    beats = record["beats_returns"][:, 0, COPIES]
    np.testing.assert_allclose(beats.sum(-1), 1, atol=1e-4)
    for number, own in enumerate(beats):  # a return of section 0 or 1 two or one sections later: 6 or 3 beats
        if number % 3:
            assert own[6 if number % 2 == 0 else 3] + own[5 if number % 2 == 0 else 2] > 0.8


# -- ablation ----------------------------------------------------------------------------------------------


def test_without_the_head_returns_are_lost_and_nothing_else(found: Answers) -> None:
    for how in ("mean", "zero"):
        condition = Condition("found", 1, 0, how)
        assert cost(found, condition, Kind.exact) > 0.9 * np.log(CARD)
        assert abs(cost(found, condition, Kind.new)) < 0.3 and abs(cost(found, condition, Kind.decoy)) < 0.3
    assert nats(found, forced(NONE), Kind.exact) < 0.2


def test_random_and_local_heads_cost_nothing_here(found: Answers) -> None:
    for role in ("random", "local"):
        for kind in (Kind.exact, Kind.new, Kind.decoy):
            assert abs(cost(found, Condition(role, 1, 0, "mean"), kind)) < 1e-5


def test_scaled_by_one_is_no_edit(found: Answers) -> None:
    assert abs(cost(found, Condition("found", 1, 0, "1"), Kind.exact)) < 1e-6


def test_the_direction_of_returns_is_what_they_have_and_new_sections_have_not(found: Answers) -> None:
    along, record = Study(SCORES, AlongReturns(0)), found.records[SCORES]
    less = (found_on(record, "stream_returns") - found_on(record, "stream_new"))[0, 0]
    said = less[2 * (CARD + 1) :]
    assert said.sum() > 0.9 * less.sum() > 0, "a head that copies says something in returns"
    own, random = (forced(Condition(role, 1, 0, "0"), along) for role in ("found", "random"))
    assert len({nats(found, one, Kind.exact) for one in (own, random, forced(NONE))}) == 3


# -- patching and generation -------------------------------------------------------------------------------


def test_patching_the_head_restores_what_the_true_section_is_worth(found: Answers) -> None:
    records = {(one.condition.role): found.records[one] for one in found.records if isinstance(one, Restored)}
    plain = records["unedited"]
    worth = (plain["nats"] - plain["clean"]).mean()
    assert worth > 0.9 * np.log(CARD)
    for role, least, most in (("found", 0.95, 1.05), ("all", 0.95, 1.05), ("random", -0.01, 0.01)):
        assert least < (plain["nats"] - records[role]["nats"]).mean() / worth < most, role


def test_the_model_writes_the_return_itself_unless_the_head_is_gone(found: Answers) -> None:
    records = {one.condition.role: found.records[one] for one in found.records if isinstance(one, Continued)}
    # The first token is a guess; having guessed right, it copies. So the best it can do is chance times copying.
    assert records["unedited"]["agreement"].shape == records["found"]["agreement"].shape
    np.testing.assert_array_equal(records["unedited"]["agreement"], records["random"]["agreement"])
    assert (records["unedited"]["piece"] % 2 == 1).all(), "only of told forms"


# -- splits and mistakes -----------------------------------------------------------------------------------


def test_heads_are_found_on_other_tracks_than_they_are_tested_on(found: Answers) -> None:
    record = found.records[SCORES]
    tested = set(np.flatnonzero(record["tested"]).tolist())
    assert 0 < len(tested) < N
    assert set(found.records[forced(NONE)]["piece"].tolist()) == tested
    changed = {name: values.copy() for name, values in record.items()}
    changed["source"][sorted(tested)] = 1.0 - changed["source"][sorted(tested)]
    one = Condition("found", 1, 0, "mean")
    assert heads_of(HEADS, one, changed) == heads_of(HEADS, one, record), "not chosen by what they are tested on"


@pytest.mark.parametrize(
    ("pieces", "n", "words"),
    [
        (CopiedPieces(returning=False), N, "nothing returns in the 12 pieces"),
        (CopiedPieces(tracks=3), N, "3 tracks among 12 pieces"),
        (CopiedPieces(of_card=90), N, "pieces of another model"),
    ],
)
def test_pieces_that_nothing_can_be_found_on_are_one_line(
    tmp_path: Path, pieces: CopiedPieces, n: int, words: str
) -> None:
    with pytest.raises(UserError, match=words) as told:
        engine(tmp_path).answers([scores_of(pieces, n)])
    assert "\n" not in str(told.value)


def test_a_head_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    study = Study(SCORES, HeadSet(((0, 3),)))
    with pytest.raises(UserError, match="heads=0.3: this model has layers 0 to 0, each with heads 0 to 2"):
        engine(tmp_path).answers([forced(Condition("found", 1, 0, "mean"), study)])
