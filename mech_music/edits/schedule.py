"""An edit of any kind, stronger at some steps than at others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.row import OfAnotherEdit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

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
        import torch

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
class Scheduled(OfAnotherEdit):
    """``out' = out + w[step] · (edit(out) − out)``, w the weights of a schedule."""

    edit: Any
    schedule: Schedule
