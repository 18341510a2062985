"""Activation patching: with itself it is nothing, with another clip's last stream it is that clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits, source_rows, visitor
from mech_music.edits.patch import Patch
from mech_music.edits.protocol import Recorded
from mech_music.edits.row import Edit, Half, Row
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from tests.edits.made import ModelShape, no_activations
from tests.made_engine import SHORT, engine

ROCK, JAZZ, LONGER = "Compose a happy rock piece.", "Compose a happy jazz piece.", "Compose a very sad trumpet tune."
A, B = Row(ROCK, 0), Row(JAZZ, 3)
STREAM = "blocks.1.hook_resid_pre"
EVERYWHERE = tuple(
    f"blocks.{layer}.hook_{point}"
    for layer in range(3)
    for point in ("resid_pre", "attn_out", "cross_attn_out", "mlp_out", "resid_post")
)
WITHIN = tuple(
    f"blocks.1.{module}.hook_{point}" for module in ("attn", "cross_attn") for point in ("q", "k", "v", "pattern", "z")
)


@pytest.fixture
def own(made: HookedMusicGen, tmp_path: Path):
    return engine(made, tmp_path)


def tokens(own, rows: Sequence[Row]) -> Tensor:
    return own.passes.tokens(rows)


@pytest.mark.parametrize("hooks", [EVERYWHERE, WITHIN], ids=["streams", "attention"])
def test_a_clip_patched_with_itself_is_itself(own, hooks: tuple[str, ...]) -> None:
    """At every hook at once, token for token; beside another row's patch."""
    patched = Row(ROCK, 0, tuple(Patch(hook, A) for hook in hooks))
    other = Row(ROCK, 0, (Patch(STREAM, B),))
    found = tokens(own, [patched, other, A])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[1], found[2])


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"])
def test_a_patched_stream_is_the_other_clips_from_there_on(made: HookedMusicGen, own, hook: str) -> None:
    """The last one: with the other clip's noise, its tokens. Below, later layers still attend to the own text."""
    patched = Row(ROCK, 0, (Patch(hook, B),))
    last = "blocks.2.hook_resid_post"
    maps = own.passes.edits([A, patched, B])[1]
    seen: list[Tensor] = []

    def see(at: Hook, step: int, value: Tensor) -> Tensor:
        value = maps(at, step, value)
        if at.name == last:
            seen.append(value.clone())
        return value

    whole = [A, patched, B, *[B] * 5]
    noise = made.noise([JAZZ] * 8, [3] * 8)
    hooks = made.select_hooks([hook, last])
    found = made.visit(
        [r.prompt for r in whole], hooks, see, noise=noise, duration=SHORT.duration, sampling=SHORT.sampling
    )
    streams = torch.stack(seen)[:, :, 0].unflatten(1, (2, 8))
    same = torch.equal(streams[:, :, 1], streams[:, :, 2]) and torch.equal(found[1], found[2])
    assert same == (hook == last), "text reaches every layer before the last stream"
    assert not torch.equal(found[0], found[2])


def test_only_the_patched_half_frames_and_row(own, made: HookedMusicGen) -> None:
    """At the hook itself, along the same tokens: the source's values there, bit for bit; nothing else moves."""
    rows = [A, Row(ROCK, 0, (Patch(STREAM, B, frames=(4, 7), half=Half.cond),)), *[A] * 6]
    recorded = own.passes._activations([B], [Hook.parse(STREAM)])
    forced = own.passes.tokens([A])

    def trace(some: Sequence[Row]) -> Tensor:
        maps = compile_edits(some, made, own.passes.n_steps, lambda *_: torch.zeros(0), lambda *_: recorded)
        apply, seen = visitor(maps), []

        def keep(hook: Hook, step: int, value: Tensor) -> Tensor:
            seen.append(apply(hook, step, value).clone())
            return seen[-1]

        made.visit([r.prompt for r in some], made.select_hooks(STREAM), keep, duration=SHORT.duration, forced=forced)
        return torch.stack(seen)[:, :, 0].unflatten(1, (2, 8))  # [step, half, row, width]

    before, after = trace([A] * 8), trace(rows)
    there = torch.stack(list(recorded[B, Hook.parse(STREAM)]))[:, :, 0]
    assert torch.equal(after[4:7, 0, 1], there[4:7, 0])
    assert not torch.equal(before[4:7, 0, 1], there[4:7, 0])
    moved = (before != after).any(-1)
    assert moved[4:7, 0, 1].all()
    moved[4:, 0, 1] = False  # later steps see it through attention
    assert not moved.any()


def test_sources_are_clips_of_their_own(own) -> None:
    """With their own edits, one of them a patch itself; each distinct one generated once."""
    edited = Row(JAZZ, 3, (Edit("blocks.0.hook_mlp_out", 0.0),))
    nested = Row(JAZZ, 3, (Patch("blocks.0.hook_attn_out", edited),))
    rows = [Row(ROCK, 0, (Patch(STREAM, source),)) for source in (B, edited, nested, B)]
    assert source_rows(rows) == [B, edited, nested]
    found = tokens(own, rows[:3])
    assert len({tuple(clip.flatten().tolist()) for clip in found}) == 3


def test_sources_are_asked_for_once_at_the_hooks_that_need_them() -> None:
    asked: list[tuple[list[Row], list[Hook]]] = []

    def activations(rows: Sequence[Row], hooks: Sequence[Hook]) -> Recorded:
        asked.append((list(rows), list(hooks)))
        return {(row, hook): [torch.zeros(2, 1, 8)] * 3 for row in rows for hook in hooks}

    other = "blocks.0.hook_mlp_out"
    rows = [A, Row(ROCK, 1, (Patch(STREAM, B), Patch(other, A))), Row(ROCK, 2, (Patch(STREAM, B), Edit(STREAM, 2.0)))]
    maps = compile_edits(rows, ModelShape(), 3, lambda *_: torch.zeros(0), activations)
    assert asked == [([B, A], [Hook.parse(other), Hook.parse(STREAM)])]
    value = torch.ones(6, 1, 8)
    for edit in maps[Hook.parse(STREAM)]:
        value = edit(1, value)
    assert value[:, 0, 0].tolist() == [1, 0, 0, 1, 0, 0]
    compile_edits([A], ModelShape(), 3, lambda *_: torch.zeros(0), no_activations)


@pytest.mark.parametrize("hook", ["k", "v", "pattern"])
def test_clips_of_other_lengths_are_refused(hook: str) -> None:
    """Where a value has a position for each text token."""
    name = f"blocks.1.cross_attn.hook_{hook}"
    for source, fits in ((Row(LONGER, 0), False), (B, True)):
        recorded = {(source, Hook.parse(name)): [torch.zeros(2, 1, 8)] * 3}
        rows = [Row(ROCK, 0, (Patch(name, source),))]
        if fits:
            compile_edits(rows, ModelShape(), 3, lambda *_: torch.zeros(0), lambda *_: recorded)  # noqa: B023
            continue
        with pytest.raises(UserError, match="different numbers of text tokens") as error:
            compile_edits(rows, ModelShape(), 3, lambda *_: torch.zeros(0), lambda *_: recorded)  # noqa: B023
        assert LONGER in str(error.value) and ROCK in str(error.value) and "\n" not in str(error.value)


def test_a_source_with_an_exit_is_refused() -> None:
    from mech_music.edits.row import Exit

    rows = [Row(ROCK, 0, (Patch(STREAM, Row(JAZZ, 0, exit=Exit("blocks.0.hook_resid_post"))),))]
    with pytest.raises(UserError, match="its row has an exit"):
        compile_edits(rows, ModelShape(), 3, lambda *_: torch.zeros(0), lambda *_: {})


def test_an_edit_of_an_unknown_kind_is_one_line() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Odd:
        hook: str
        heads: None = None

    with pytest.raises(UserError, match="no compiler for an edit of kind Odd: there is one for Edit, Patch"):
        compile_edits([Row(ROCK, 0, (Odd(STREAM),))], ModelShape(), 3, lambda *_: torch.zeros(0), no_activations)
