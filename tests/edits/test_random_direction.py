"""Random directions: as far as the edit, elsewhere, the same in both halves."""

from __future__ import annotations

import pytest
import torch

from mech_music.edits.row import Edit, Half, RandomDirection, Row, Term
from tests.edits.test_affine import HOOK, MEANS, STEPS, run
from tests.made_engine import mean

REPLACE = Edit(HOOK, 0.0, (Term(1.0, mean("piano", 3)),))
ADJUST = Edit(HOOK, 1.0, (Term(1.0, mean("piano", 3)), Term(-1.0, mean("guitar", 3))))


@pytest.mark.parametrize("edit", [REPLACE, ADJUST, Edit(HOOK, 0.5)], ids=["replace", "adjust", "scale"])
def test_it_moves_as_far_as_the_edit_in_another_direction(edit: Edit) -> None:
    """As far as the edit really moves what is there: for replace that is not the length of its mean."""
    rows = [Row("a", 0, (RandomDirection(edit, seed),)) for seed in range(40)]
    for step in (0, STEPS - 1):
        before, after = run(rows, step)
        meant = run([Row("a", 0, (edit,))] * len(rows), step)[1] - before
        torch.testing.assert_close((after - before).norm(dim=-1), meant.norm(dim=-1))
        cosines = torch.cosine_similarity(after - before, meant, dim=-1)
        assert abs(float(cosines.mean())) < 0.2, "random directions have no side"


def test_both_halves_and_all_steps_go_one_way() -> None:
    (row,) = rows = [Row("a", 0, (RandomDirection(REPLACE, 3),))]
    moved = torch.cat([after - before for before, after in (run(rows, step) for step in range(STEPS))])[:, 0]
    torch.testing.assert_close(torch.cosine_similarity(moved[:1], moved, dim=-1), torch.ones(2 * STEPS))
    before, again = run([row], 0)
    torch.testing.assert_close(again - before, moved[:2, None])


def test_frames_and_half_are_those_of_the_edit() -> None:
    some = RandomDirection(Edit(HOOK, 0.0, frames=(2, 4), half=Half.cond), 1)
    for step in range(STEPS):
        before, after = run([Row("a", 0, (some,)), Row("b", 0)], step)
        assert torch.equal(after[:, 1], before[:, 1]) and torch.equal(after[1], before[1])
        assert torch.equal(after[0, 0], before[0, 0]) != (2 <= step < 4)


def test_what_it_goes_along_with_does_not_matter() -> None:
    """A plain edit of another row at the same hook, in the same pass."""
    alone = run([Row("a", 0, (RandomDirection(ADJUST, 2),)), Row("b", 0)], 1)[1]
    beside = run([Row("a", 0, (RandomDirection(ADJUST, 2),)), Row("b", 0, (REPLACE,))], 1)[1]
    assert torch.equal(alone[:, 0], beside[:, 0])
    torch.testing.assert_close(beside[:, 1], MEANS["piano"][1])
