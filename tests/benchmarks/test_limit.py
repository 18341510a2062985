"""The formulas of the operations and of the memory traffic, against what is really done."""

from __future__ import annotations

import pytest
from torch.utils.flop_counter import FlopCounterMode

from mech_music.benchmarks.limit import Work
from mech_music.benchmarks.models import duration
from mech_music.models.musicgen.model import HookedMusicGen
from tests.conftest import PROMPTS

FRAMES = 7


def counted(made: HookedMusicGen, prompts: list[str], frames: int) -> int:
    """Operations of a generation, those of the text encoder left out."""
    with FlopCounterMode(display=False) as everything:
        made.generate(prompts, duration=frames / made.frame_rate + 1e-3)
    with FlopCounterMode(display=False) as text:
        made.conditions(prompts)
    return everything.get_total_flops() - text.get_total_flops()


@pytest.mark.parametrize(("rows", "frames"), [(1, FRAMES), (3, FRAMES), (2, 2 * FRAMES)])
def test_operations_are_those_that_torch_counts(made: HookedMusicGen, rows: int, frames: int) -> None:
    work = Work.of(made, PROMPTS[0], frames)
    assert made.n_frames(duration(frames)) == frames
    assert counted(made, [PROMPTS[0]] * rows, frames) == rows * work.flops


def test_bytes_are_weights_and_caches(made: HookedMusicGen) -> None:
    """The weights that a step multiplies with, and at the last step the caches as they lie in memory."""
    work = Work.of(made, PROMPTS[0], FRAMES)
    layers, heads = made.musicgen.lm.transformer.layers, made.musicgen.lm.linears
    matrices = sum(p.numel() for p in layers.parameters() if p.ndim == 2) + sum(p.numel() for p in heads.parameters())
    projected_once = 2 * made.n_layers * made.d_model**2
    assert work.bytes(0, 4) == 4 * work.steps * (matrices - projected_once)
    caches = work.bytes(5, 4) - work.bytes(0, 4)
    text, steps = made.prompt_length(PROMPTS[0]), work.steps
    a_step = [2 * 5 * made.n_layers * 2 * made.d_model * (t + text) for t in range(1, steps + 1)]
    assert caches == 4 * sum(a_step)
