"""An edit of any kind, stronger at some steps than at others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.protocol import Batch, CompiledEdit, Edits, Take, Targets, compiler_of, compiles
from mech_music.edits.row import Half
from mech_music.models.hooks import Hook

_WORDS = "all, first:<share of the clip>, decay:<share of the clip in which it falls to 1/e> or every:<n>"


class Course(StrEnum):
    """Weights of steps: 1 in the first ``value`` of a clip, then 0; ``exp(−step ÷ (value · steps))``; 1 at each
    ``value``-th, from the first on, else 0."""

    first = "first"
    decay = "decay"
    every = "every"


@stored
@dataclass(frozen=True)
class Schedule:
    """How an edit's strength goes over the steps of a clip. ``value``: a share of the clip, or a number of steps."""

    course: Course
    value: float

    def weights(self, n_steps: int) -> Float[Tensor, " step"]:
        """One for each step."""
        steps = torch.arange(n_steps, dtype=torch.float32)
        match self.course:
            case Course.first:
                return (steps < self.value * n_steps).float()
            case Course.decay:
                return torch.exp(-steps / (self.value * n_steps))
            case Course.every:
                return (steps % self.value == 0).float()


def parse_schedule(text: str) -> Schedule | None:
    """``all`` (None), ``first:0.5``, ``decay:0.3``, ``every:2``. UserError for anything else."""
    if text == "all":
        return None
    found = re.fullmatch(r"(first|decay|every):(\d+(?:\.\d+)?)", text)
    if not found:
        raise UserError(f"schedule={text}: expected {_WORDS}")
    course, value = Course(found[1]), float(found[2])
    good = value >= 1 and value == int(value) if course is Course.every else 0 < value <= 1
    if not good:
        raise UserError(f"schedule={text}: expected a whole number of steps, or a share above 0, at most 1")
    return Schedule(course, value)


@stored
@dataclass(frozen=True)
class Scheduled:
    """``out' = out + w[step] · (edit(out) − out)``, w the weights of a schedule."""

    edit: Any
    schedule: Schedule

    @property
    def hook(self) -> str:
        return self.edit.hook

    @property
    def frames(self) -> tuple[int, int] | None:
        return self.edit.frames

    @property
    def half(self) -> Half:
        return self.edit.half

    @property
    def heads(self) -> tuple[int, ...] | None:
        return self.edit.heads

    @property
    def shift(self) -> tuple[Any, ...]:
        """The sources that it needs, as `Edit` names them."""
        return getattr(self.edit, "shift", ())

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return getattr(self.edit, "recorded", ())


@dataclass
class Weighed:
    """``value[i] ← value[i] + weights[i, step] · (edit(value)[i] − value[i])`` at the entries that are active."""

    targets: Targets
    edit: CompiledEdit
    weights: Float[Tensor, "entry step"]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The edited value; entries of weight 0, and all other rows, are untouched bit for bit."""
        if not bool(self.weights[:, step].any()):
            return value
        edited, weight = self.edit(step, value), self.weights[:, step][:, None, None]
        index, whole = self.targets.index, (self.weights[:, step] == 1)[:, None, None]
        own, there = value[index].float(), edited[index]
        out = value.clone()
        part = torch.where(weight == 0, own, own + weight * (there.float() - own)).to(value.dtype)
        out[index] = torch.where(whole, there, part)
        return out


@compiles(Scheduled)
def compile_scheduled(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Weighed:
    """The edits within, all of one kind, compiled together."""
    entries = batch.entries(edits)
    own = [(position, one.edit) for position, one in edits]
    weights = [entry.edit.schedule.weights(batch.n_steps) for entry in entries]
    stacked = torch.stack(weights).to(batch.model.device)
    return Weighed(batch.targets(entries), compiler_of(own[0][1])(hook, own, batch, take), stacked)
