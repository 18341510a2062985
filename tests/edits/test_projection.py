"""Projections: nothing is left along the direction, everything else stays, and twice is once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits
from mech_music.edits.row import Edit, Half, Projection, RandomDirection, Row, Term
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from tests.edits.made import ModelShape, no_activations
from tests.edits.test_affine import HOOK, MEANS, STEPS, run
from tests.made_engine import engine, mean

D = (Term(1.0, mean("piano", 3)), Term(-1.0, mean("guitar", 3)))
DIFFERENCE = MEANS["piano"] - MEANS["guitar"]  # [step, half, width]
REMOVE = Projection(HOOK, 0.0, D)


def along(value: torch.Tensor, step: int) -> torch.Tensor:
    """The component of ``[half, row, width]`` along the direction."""
    unit = DIFFERENCE[step] / DIFFERENCE[step].norm(dim=-1, keepdim=True)
    return (value * unit[:, None]).sum(-1)


def test_nothing_is_left_along_the_direction_and_the_rest_stays() -> None:
    for step in range(STEPS):
        before, after = run([Row("a", 0, (REMOVE,)), Row("b", 0)], step)
        assert along(before, step)[:, 0].abs().min() > 1e-3
        torch.testing.assert_close(along(after, step)[:, 0], torch.zeros(2), atol=1e-6, rtol=0)
        d = DIFFERENCE[step]
        weight = (before[:, 0] * d).sum(-1, keepdim=True) / (d * d).sum(-1, keepdim=True)
        torch.testing.assert_close(after[:, 0], before[:, 0] - weight * d)
        assert torch.equal(after[:, 1], before[:, 1])


def test_twice_is_once() -> None:
    once, twice = (run([Row("a", 0, (REMOVE,) * n)], 2)[1] for n in (1, 2))
    torch.testing.assert_close(once, twice, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 0.25, -1.0])
def test_a_scale_is_that_of_the_part_along_it(scale: float) -> None:
    before, after = run([Row("a", 0, (replace(REMOVE, scale=scale),))], 1)
    torch.testing.assert_close(along(after, 1), scale * along(before, 1))
    if scale == 1.0:
        assert torch.equal(after, before)


def test_other_halves_frames_and_rows_are_untouched() -> None:
    some = replace(REMOVE, half=Half.uncond, frames=(1, 3))
    rows = [Row("a", 0, (some,)), Row("b", 0, (Edit(HOOK, 0.5),)), Row("c", 0, (REMOVE,))]
    for step in range(STEPS):
        before, after = run(rows, step)
        assert torch.equal(after[0, 0], before[0, 0])
        assert torch.equal(after[1, 0], before[1, 0]) != (1 <= step < 3)
        assert torch.equal(after[:, 1], 0.5 * before[:, 1])
        assert (after[:, 2] != before[:, 2]).any(dim=-1).all()


def test_means_that_differ_by_rounding_only_have_no_direction() -> None:
    """As those of the unconditional half at its first step, which no prompt has reached."""
    piano = MEANS["piano"]
    nearly = {"piano": piano, "guitar": piano * (1 + 1e-7)}
    (edit,) = compile_edits(
        [Row("a", 0, (REMOVE,))], ModelShape(), STEPS, lambda source, _: nearly[source.prompts.name], no_activations
    )[Hook.parse(HOOK)]
    value = torch.randn(2, 1, piano.shape[-1], generator=torch.Generator().manual_seed(4))
    assert not torch.equal(nearly["piano"], nearly["guitar"])
    assert torch.equal(edit(0, value), value)


def test_its_random_direction_is_removed_as_far_as_the_edit_really_moves() -> None:
    rows = [Row("a", 0, (RandomDirection(REMOVE, seed),)) for seed in range(40)]
    mixed = [*rows, Row("b", 0, (RandomDirection(Edit(HOOK, 0.0), 3),))]
    for step in (0, STEPS - 1):
        before, after = run(mixed, step)
        moved = (after - before)[:, :40]
        meant = run([Row("a", 0, (REMOVE,))] * 41, step)[1][:, :40] - before[:, :40]
        torch.testing.assert_close(moved.norm(dim=-1), meant.norm(dim=-1))
        assert ((moved * before[:, :40]).sum(-1) < 0).all(), "away from what the value has along it"
        assert abs(float(torch.cosine_similarity(moved, meant, dim=-1).mean())) < 0.2
        assert float((after - before)[:, 40].norm()) == pytest.approx(float(before[:, 40].norm()), rel=1e-5)


def test_some_heads_have_a_direction_of_their_own() -> None:
    one = replace(REMOVE, hook="blocks.1.attn.hook_z", heads=(1,))
    (edit,) = compile_edits(
        [Row("a", 0, (one,))], ModelShape(), STEPS, lambda source, _: MEANS[source.prompts.name], no_activations
    )[Hook.parse(one.hook)]
    before = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(4))
    after, d = edit(2, before), DIFFERENCE[2][:, 2:4]
    assert torch.equal(after[..., :2], before[..., :2]) and torch.equal(after[..., 4:], before[..., 4:])
    torch.testing.assert_close((after[:, 0, 2:4] * d).sum(-1), torch.zeros(2), atol=1e-6, rtol=0)


def test_a_pattern_has_no_direction() -> None:
    rows = [Row("a", 0, (replace(REMOVE, hook="blocks.1.attn.hook_pattern"),))]
    with pytest.raises(UserError, match="has no mean to add"):
        compile_edits(rows, ModelShape(), STEPS, lambda *_: MEANS["piano"], no_activations)


def test_a_scale_of_one_is_no_edit_and_packed_is_alone(made: HookedMusicGen, tmp_path: Path) -> None:
    own, prompt = engine(made, tmp_path), "Compose a happy rock piece."
    hook = "blocks.1.hook_attn_out"
    remove, keep = (Projection(hook, scale, D) for scale in (0.0, 1.0))
    rows = [Row(prompt, 3, edits) for edits in ((), (keep,), (remove,), (RandomDirection(remove, 5),))]
    own.ensure(rows)
    packed = own.passes.tokens(rows)
    assert torch.equal(packed[0], packed[1])
    assert len({tuple(clip.flatten().tolist()) for clip in packed}) == 3
    for row, clip in zip(rows[2:], packed[2:], strict=True):
        assert torch.equal(own.passes.tokens([row])[0], clip)
