"""Schedules: an edit's displacement weighed at each step, the rest untouched."""

from __future__ import annotations

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.edits.row import Edit, Half, RandomDirection, Row, Term
from mech_music.edits.schedule import Course, Schedule, Scheduled, parse_schedule
from tests.edits.test_affine import HOOK, MEANS, STEPS, run
from tests.made_engine import mean

ADD = Edit(HOOK, 1.0, (Term(1.0, mean("piano", 3)),), half=Half.cond)
COURSES = {
    "first:0.5": [1, 1, 1, 0, 0, 0],
    "every:2": [1, 0, 1, 0, 1, 0],
    "decay:0.5": [1.0, 0.7165313, 0.5134171, 0.3678794, 0.2635971, 0.1888756],
}


def scheduled(text: str) -> Scheduled:
    schedule = parse_schedule(text)
    assert schedule is not None
    return Scheduled(ADD, schedule)


@pytest.mark.parametrize("text", COURSES)
def test_as_far_as_the_schedule_says(text: str) -> None:
    rows = [Row("a", 0, (ADD,)), Row("b", 0, (scheduled(text),)), Row("c", 0)]
    for step, weight in enumerate(COURSES[text]):
        before, after = run(rows, step)
        torch.testing.assert_close(
            after[0, 1] - before[0, 1], weight * (after[0, 0] - before[0, 0]), rtol=1e-4, atol=1e-5
        )
        assert torch.equal(after[1], before[1]) and torch.equal(after[0, 2], before[0, 2])
        if weight == 0:
            assert torch.equal(after[0, 1], before[0, 1]), "bit for bit"


def test_at_full_weight_it_is_the_edit_bit_for_bit() -> None:
    for edit in (ADD, Edit(HOOK, 0.0, (Term(1.0, mean("piano", 3)),))):
        _, after = run([Row("a", 0, (Scheduled(edit, Schedule(Course.first, 1.0)),))], 4)
        _, plain = run([Row("a", 0, (edit,))], 4)
        assert torch.equal(after, plain)


def test_a_random_direction_goes_as_far_as_the_scheduled_edit() -> None:
    """Beside a plain edit's random direction in the same pass; and along a direction that is given."""
    rows = [Row("a", 0, (RandomDirection(scheduled("every:2"), 1),)), Row("b", 0, (RandomDirection(ADD, 2),)),
            Row("c", 0, (RandomDirection(scheduled("decay:0.5"), 3, Term(-2.0, mean("guitar", 3))),))]  # fmt: skip
    for step in range(STEPS):
        before, after = run(rows, step)
        plain_before, plain = run([Row("a", 0, (ADD,))] * 3, step)
        moved, length = (after - before)[0, :], (plain - plain_before)[0, 0].norm()
        torch.testing.assert_close(moved[0].norm(), length * (step % 2 == 0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(moved[1].norm(), length, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(moved[2].norm(), length * COURSES["decay:0.5"][step], rtol=1e-4, atol=1e-5)
        along = torch.cosine_similarity(moved[2], MEANS["guitar"][0, 0], dim=0)
        torch.testing.assert_close(along, torch.tensor(-1.0))


@pytest.mark.parametrize("text", ["never", "first:0", "first:1.5", "every:0", "every:1.5", "decay:-1", "decay"])
def test_what_is_no_schedule_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=f"^schedule={text}: expected"):
        parse_schedule(text)


def test_none_for_all_steps_alike() -> None:
    assert parse_schedule("all") is None
