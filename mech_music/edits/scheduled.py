"""How scheduled edits are made: the edit within, weighed step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mech_music.edits.protocol import Batch, CompiledEdit, Edits, Take, Targets, compiler_of, compiles
from mech_music.edits.schedule import Scheduled
from mech_music.models.hooks import Hook


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
