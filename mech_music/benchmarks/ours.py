"""Our side: a model as users load it, and its passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mech_music.base.machine import n_cores
from mech_music.base.workers import Advance, spread
from mech_music.benchmarks.models import FRAME_RATE, Subject, duration, threads
from mech_music.config.schema import ModelConfig
from mech_music.edits.compile import compile_edits, visitor
from mech_music.edits.dense import dense
from mech_music.edits.protocol import OpenSae, no_sae
from mech_music.edits.row import Mean, Row
from mech_music.engine.capacity import Capacity
from mech_music.engine.engine import Engine
from mech_music.models.musicgen.loading import Checkpoint, load_model
from mech_music.models.sampling import Sampling

if TYPE_CHECKING:
    from mech_music.models.musicgen.model import HookedMusicGen

Resolve = Callable[[Mean, str], Tensor]


@dataclass(frozen=True)
class Ours:
    """A model as users get it, loaded. ``threads``: what the loader picks for it."""

    source: Checkpoint
    model: HookedMusicGen
    threads: int

    @property
    def name(self) -> str:
        return f"ours, {threads(self.threads)}"


def load_ours(subject: Subject, device: torch.device) -> Ours:
    """Our model through our loader, in float32."""
    config = ModelConfig(
        name=subject.name, path=str(subject.folder), layers=subject.layers, frame_rate=float(FRAME_RATE)
    )
    before = torch.get_num_threads()
    source = Checkpoint(config, str(device))
    model, picked = source.model, torch.get_num_threads()
    torch.set_num_threads(before)
    return Ours(source, model, picked)


def load_bfloat16(subject: Subject, device: torch.device) -> HookedMusicGen:
    """Our model in bfloat16."""
    return load_model(str(subject.folder), device=str(device), dtype="bfloat16")


def edited_tokens(
    model: HookedMusicGen, rows: Sequence[Row], mean: Resolve, frames: int, sae: OpenSae = no_sae
) -> Tensor:
    """One pass of ours with its edits, ``[row, codebook, frame]``; the rows' prompts have one length."""
    maps = compile_edits(rows, model, model.n_steps(duration(frames)), mean, lambda _rows, _hooks: {}, sae)
    return model.visit(
        [row.prompt for row in rows],
        tuple(maps),
        visitor(maps),
        seeds=[row.seed for row in rows],
        duration=duration(frames),
        sampling=Sampling(),
    )


def static_tokens(model: HookedMusicGen, rows: Sequence[Row], mean: Resolve, frames: int) -> Tensor:
    """The same by steps of fixed shape."""
    steps = model.n_steps(duration(frames))
    tables = dense(compile_edits(rows, model, steps, mean, lambda _rows, _hooks: {}), 2 * len(rows), steps)
    assert tables is not None
    seeds = [row.seed for row in rows]
    return model.generate_static(
        [row.prompt for row in rows], tables, seeds=seeds, duration=duration(frames), sampling=Sampling()
    )


def generation(engine: Engine, ours: Ours, mean: Resolve, frames: int) -> Callable[[Sequence[Row]], None]:
    """What the engine does with rows, without hearing them: passes of its size in as many processes as it takes."""
    n_workers = n_cores() if ours.threads == 1 and ours.model.device.type == "cpu" else 1
    most = Capacity(ours.model, duration(frames), 0, n_workers).rows

    def one(pack: Sequence[Row], _advance: Advance) -> None:
        edited_tokens(ours.model, pack, mean, frames)

    def generate(rows: Sequence[Row]) -> None:
        for _ in spread(one, engine.passes.packs(rows, most, n_workers), n_workers, lambda _: None):
            pass

    return generate
