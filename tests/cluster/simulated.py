"""A generator whose passes take as long as one says: for tests of who makes which, on which machine, and when.

Its tokens are `tests.second_generator`'s, so a table is real and tells whether a clip was made right.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.config.schema import ModelConfig
from mech_music.models.handle import LoadedModel
from mech_music.models.hooks import Hook
from mech_music.models.protocol import Generation, Visit, listed, one_each
from tests.second_generator import SecondGenerator

SECONDS = "SIMULATED_SECONDS"
"""Environment: how long a pass takes."""
JOURNAL = "SIMULATED_JOURNAL"
"""Environment: a folder in which each process notes its passes."""
MODEL = (
    "model._target_=tests.cluster.simulated.Simulated", "model.name=simulated", "model.layers=3", "model.heads=0",
    "model.frame_rate=20.0", "model.codebooks=1", "model.delay=0", "model.cross_attention=false",
)  # fmt: skip


class SimulatedGenerator(SecondGenerator):
    """Sleeps for the rest of each pass."""

    def visit(
        self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        begin, wanted = time.time(), float(os.environ.get(SECONDS, "0"))
        tokens = super().visit(prompts, hooks, fn, **how)
        time.sleep(max(0.0, begin + wanted - time.time()))
        if folder := os.environ.get(JOURNAL):
            note = {"begin": begin, "end": time.time(), "rows": len(listed(prompts))}
            name = f"{os.environ.get('SLURMD_NODENAME', socket.gethostname())}-{os.getpid()}"
            with (Path(folder) / name).open("a") as file:
                file.write(f"{json.dumps(note)}\n")
        return tokens


class SleepingGenerator(SimulatedGenerator):
    """Does nothing but sleep: tokens are the seeds'."""

    def _generate(self, prompts: Sequence[str], *_: object, **how: Any) -> Int[Tensor, "row codebook frame"]:
        frames = self.n_frames(how["duration"])
        return torch.tensor(one_each(how["seeds"], len(prompts)))[:, None, None].expand(-1, 1, frames) % self.card


class Sleeping(LoadedModel):
    """For tests of scheduling alone."""

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        super().__init__(SleepingGenerator(config.layers), config.name)


class Simulated(LoadedModel):
    """What a config names."""

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        super().__init__(SimulatedGenerator(config.layers), config.name)


class Broken(Simulated):
    """A model that only the machine where the command is given can open."""

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        if "SUBMITIT_EXECUTOR" in os.environ:
            raise UserError("no weights here")
        super().__init__(config, device, threads)


def passes(journal: Path) -> dict[str, list[dict[str, float]]]:
    """What each process noted, by its name."""
    return {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in journal.iterdir()}


def busy(journal: Path) -> float:
    """The share of workers' time in passes: of each one's from its first pass to the last one of all."""
    made = passes(journal).values()
    end = max(note["end"] for notes in made for note in notes)
    spent = sum(note["end"] - note["begin"] for notes in made for note in notes)
    return spent / sum(end - min(note["begin"] for note in notes) for notes in made)
