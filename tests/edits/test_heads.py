"""Edits of some heads: their part of the value alone, in every layout that attention has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits
from mech_music.edits.patch import Patch
from mech_music.edits.protocol import Recorded
from mech_music.edits.row import Edit, Half, Mean, Prompts, RandomDirection, Row, Term
from mech_music.models.hooks import Hook
from tests.edits.made import ModelShape, no_activations

STEPS, WIDTH, N_HEADS, D_HEAD, TOKENS = 5, 12, 4, 3, 7
Z, TEXT, PATTERN = "blocks.1.attn.hook_z", "blocks.1.cross_attn.hook_v", "blocks.1.attn.hook_pattern"
MEAN = torch.randn(STEPS, 2, WIDTH, generator=torch.Generator().manual_seed(1))
TO_MEAN = (Term(1.0, Mean(Prompts.of(["piano"]))),)
SHAPES = {Z: (1, WIDTH), TEXT: (TOKENS, WIDTH), PATTERN: (N_HEADS, 9)}


def resolve(_source: Mean, _hook: str) -> Tensor:
    return MEAN


def run(rows: list[Row], hook: str, step: int, recorded: Recorded | None = None) -> tuple[Tensor, Tensor]:
    """A value before and after: ``[half, row, position, head, …]``, or ``[half, row, head, key]`` of a pattern."""
    shape = (2 * len(rows), *SHAPES[hook])
    before = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    value = before.clone()
    activations = no_activations if recorded is None else (lambda _rows, _hooks: recorded)
    for edit in compile_edits(rows, ModelShape(N_HEADS), STEPS, resolve, activations)[Hook.parse(hook)]:
        value = edit(step, value)
    both = [x.unflatten(0, (2, -1)) for x in (before, value)]
    first, second = both if hook == PATTERN else [x.unflatten(-1, (N_HEADS, D_HEAD)) for x in both]
    return first, second


@pytest.mark.parametrize("hook", [Z, TEXT])
def test_only_the_chosen_heads_slices_change(hook: str) -> None:
    """All positions of the value alike; another row's other heads, at the same hook, in the same pass."""
    rows = [
        Row("a", 0),
        Row("b", 0, (Edit(hook, 0.0, TO_MEAN, heads=(1, 3)),)),
        Row("c", 0, (Edit(hook, 1.0, TO_MEAN, heads=(0,), half=Half.uncond, frames=(1, 4)),)),
    ]
    for step in range(STEPS):
        before, after = run(rows, hook, step)
        wanted, mean = before.clone(), MEAN[step].unflatten(-1, (N_HEADS, D_HEAD))
        wanted[:, 1, :, [1, 3]] = mean[:, None, [1, 3]]
        if 1 <= step < 4:
            wanted[1, 2, :, 0] += mean[1, 0]
        assert torch.equal(after, wanted)


def test_all_heads_named_are_all_heads() -> None:
    whole = run([Row("a", 0, (Edit(Z, 0.5, TO_MEAN),))], Z, 2)[1]
    named = run([Row("a", 0, (Edit(Z, 0.5, TO_MEAN, heads=tuple(range(N_HEADS))),))], Z, 2)[1]
    assert torch.equal(whole, named)


def test_a_random_direction_has_the_norm_of_the_heads_own_shift() -> None:
    random = RandomDirection(Edit(Z, 1.0, TO_MEAN, heads=(1, 2)), 5)
    before, after = run([Row("a", 0, (random,))], Z, 0)
    moved = (after - before)[:, 0, 0]
    wanted = MEAN[0].unflatten(-1, (N_HEADS, D_HEAD))[:, 1:3].flatten(1).norm(dim=-1)
    torch.testing.assert_close(moved[:, 1:3].flatten(1).norm(dim=-1), wanted)
    assert not moved[:, [0, 3]].any()


def test_patterns_are_scaled() -> None:
    before, after = run([Row("a", 0, (Edit(PATTERN, 0.0, heads=(2,)),)), Row("b", 0)], PATTERN, 0)
    wanted = before.clone()
    wanted[:, 0, 2] = 0
    assert torch.equal(after, wanted)
    before, after = run([Row("a", 0), Row("b", 0, (Edit(PATTERN, 0.5),))], PATTERN, 0)
    assert torch.equal(after[:, 1], 0.5 * before[:, 1]) and torch.equal(after[:, 0], before[:, 0])


@pytest.mark.parametrize("hook", [Z, TEXT, PATTERN])
def test_patched_heads_are_the_other_rows(hook: str) -> None:
    """Their slices at that step, beside an edit of other heads of the same row."""
    source = Row("z", 7)
    values = torch.randn(STEPS, 2, *SHAPES[hook], generator=torch.Generator().manual_seed(2))
    recorded = {(source, Hook.parse(hook)): list(values)}
    rows = [Row("a", 0, (Patch(hook, source, heads=(2, 0)), Edit(hook, 2.0, heads=(1,)))), Row("b", 0)]
    before, after = run(rows, hook, 3, recorded)
    there = values[3] if hook == PATTERN else values[3].unflatten(-1, (N_HEADS, D_HEAD))
    axis = 1 if hook == PATTERN else 2
    wanted = before.clone()
    own, other = wanted[:, 0].movedim(axis, 0), there.movedim(axis, 0)
    own[[0, 2]] = other[[0, 2]]
    own[1] *= 2
    assert torch.equal(after, wanted)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit(Z, 0.0, heads=(1, 4)), "heads=4, but this model has heads 0 to 3"),
        (Edit(Z, 0.0, heads=(-1,)), "heads=-1, but"),
        (Edit(Z, 0.0, heads=()), "heads=none"),
        (Edit("blocks.1.hook_mlp_out", 0.0, heads=(0,)), "blocks.1.hook_mlp_out.*q, k, v, z and pattern"),
        (Edit(PATTERN, 1.0, TO_MEAN), "pattern can be scaled"),
    ],
)
def test_heads_that_are_not_there_are_one_line(edit: Edit, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        compile_edits([Row("a", 0, (edit,))], ModelShape(N_HEADS), STEPS, resolve, no_activations)
    assert "\n" not in str(error.value)


def test_a_model_without_guidance_has_one_half() -> None:
    model = ModelShape(N_HEADS, halves=1)
    value = torch.ones(2, 1, WIDTH)
    for half in (Half.both, Half.cond):
        rows = [Row("a", 0), Row("b", 0, (Edit(Z, 0.5, half=half),))]
        (edit,) = compile_edits(rows, model, STEPS, resolve, no_activations)[Hook.parse(Z)]
        assert torch.equal(edit(0, value), torch.tensor([1.0, 0.5])[:, None, None].expand(2, 1, WIDTH))
    with pytest.raises(UserError, match="half=uncond, but this model has no guidance"):
        rows = [Row("a", 0, (Edit(Z, 0.5, half=Half.uncond),))]
        compile_edits(rows, model, STEPS, resolve, no_activations)
