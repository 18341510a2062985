"""The compiled edits: the right rows, the right sums."""

from __future__ import annotations

import torch

from mech_music.edits.compile import compile_edits
from mech_music.edits.row import Edit, Half, Mean, Row, Term
from mech_music.models.hooks import Hook
from tests.edits.made import ModelShape, no_activations
from tests.made_engine import mean

STEPS, WIDTH = 6, 8
HOOK = "blocks.1.hook_mlp_out"
MEANS = {
    name: torch.randn(STEPS, 2, WIDTH, generator=torch.Generator().manual_seed(seed))
    for seed, name in enumerate(("guitar", "piano"))
}


def resolve(source: Mean, hook: str) -> torch.Tensor:
    assert hook == HOOK
    return MEANS[source.prompts.name]


def run(rows: list[Row], step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A value before and after the edits of ``rows`` at ``step``: ``[half, row, d_model]``."""
    value = torch.randn(2 * len(rows), 1, WIDTH, generator=torch.Generator().manual_seed(9))
    before = value.clone()
    for affine in compile_edits(rows, ModelShape(), STEPS, resolve, no_activations)[Hook.parse(HOOK)]:
        value = affine(step, value)
    return before.view(2, len(rows), WIDTH), value.view(2, len(rows), WIDTH)


def test_affine_map_of_each_row_and_half() -> None:
    replace = Edit(HOOK, 0.0, (Term(1.0, mean("piano", 3)),))
    adjust = Edit(HOOK, 1.0, (Term(1.0, mean("piano", 3)), Term(-1.0, mean("guitar", 3))), half=Half.cond)
    halve = Edit(HOOK, 0.5, half=Half.uncond, frames=(2, 4))
    rows = [Row("a", 0), Row("b", 0, (replace,)), Row("c", 0, (adjust,)), Row("d", 0, (halve,))]
    for step in range(STEPS):
        before, after = run(rows, step)
        expected = before.clone()
        expected[:, 1] = MEANS["piano"][step]
        expected[0, 2] += MEANS["piano"][step, 0] - MEANS["guitar"][step, 0]
        expected[1, 3] *= 0.5 if 2 <= step < 4 else 1.0
        torch.testing.assert_close(after, expected)
        assert torch.equal(after[:, 0], before[:, 0])
        assert torch.equal(after[1, 2], before[1, 2])
        assert torch.equal(after[0, 3], before[0, 3])


def test_two_edits_at_one_hook_apply_in_order() -> None:
    zero, add = Edit(HOOK, 0.0), Edit(HOOK, 1.0, (Term(2.0, mean("piano", 3)),))
    _, after = run([Row("a", 0, (zero, add)), Row("a", 0, (add, zero))], step=3)
    torch.testing.assert_close(after[:, 0], 2.0 * MEANS["piano"][3])
    assert not after[:, 1].any()
