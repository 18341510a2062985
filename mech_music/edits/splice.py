"""An SAE spliced in: a hook's value goes through its features, some of which are changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.protocol import Batch, Edits, Take, Targets, compiles
from mech_music.edits.row import Half
from mech_music.models.hooks import Hook
from mech_music.models.protocol import MIN_PASS
from mech_music.saes.named import ConceptFeatures, Dictionary, recorded_for
from mech_music.saes.sae import Sae


class How(StrEnum):
    """``f' = value``, ``value · f``, ``f + value``, or 0."""

    set = "set"
    scale = "scale"
    add = "add"
    zero = "zero"


@stored
@dataclass(frozen=True)
class Change:
    """What becomes of a feature, or of those that tell a concept, at once. ``value``: in the unit of activations, of
    scale a factor, of zero nothing; of a concept's features in the unit of each one's mean on the concept's clips."""

    feature: int | ConceptFeatures
    how: How
    value: float = 0.0


@stored
@dataclass(frozen=True)
class Splice:
    """``out' = decode(f') + (out − decode(f))``, f the features of out and f' the changed ones.

    ``error``: whether what the SAE does not explain (the term in brackets) is kept; without any change the edit is then
    none. ``frames``, ``half``: as in `Edit`. ``changes`` apply in order.
    """

    hook: str
    sae: Dictionary
    changes: tuple[Change, ...] = ()
    error: bool = True
    frames: tuple[int, int] | None = None
    half: Half = Half.both
    heads: None = None

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        named = [one.feature for one in self.changes if isinstance(one.feature, ConceptFeatures)]
        return tuple(dict.fromkeys([*recorded_for(self.sae), *(one for each in named for one in each.recorded)]))


@dataclass
class Spliced:
    """Each entry through its own SAE with its own changes, ``f' = scale · f + shift``; always as many vectors at once,
    so that a clip's bits do not depend on its neighbours. ``choice``: each entry's place among SAEs; ``change``: among
    the distinct changes of that SAE."""

    targets: Targets
    saes: Sequence[Sae]
    maps: Sequence[FeatureMaps]
    choice: Sequence[int]
    change: Int[Tensor, " entry"]
    error: Bool[Tensor, " entry"]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The spliced value; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        chosen = range(len(self.choice)) if active is None else active.tolist()
        if not chosen:
            return value
        out = value.clone()
        for number, sae in enumerate(self.saes):
            own = [place for place in chosen if self.choice[place] == number]
            if own:
                index = self.targets.index[own]
                out[index] = self._through(sae, self.maps[number], own, value[index])
        return out

    def _through(
        self, sae: Sae, maps: FeatureMaps, own: Sequence[int], value: Float[Tensor, "entry position width"]
    ) -> Float[Tensor, "entry position width"]:
        x = value.float()
        lacking = max(0, 2 * MIN_PASS - len(x))
        features = sae.encode(torch.cat([x, x[-1:].expand(lacking, -1, -1)]))
        changed, which = features.clone(), self.change[own]
        changed[: len(x)] = maps.scale[which][:, None] * features[: len(x)] + maps.shift[which][:, None]
        moved = x + ((changed - features) @ sae.W_dec)[: len(x)]
        kept = self.error[own]
        if bool(kept.all()):
            return moved.to(value.dtype)
        return torch.where(kept[:, None, None], moved, sae.decode(changed)[: len(x)]).to(value.dtype)


@dataclass(frozen=True)
class FeatureMaps:
    """Distinct changes of an SAE's features, each one affine map."""

    scale: Float[Tensor, "change feature"]
    shift: Float[Tensor, "change feature"]


@compiles(Splice)
def compile_splice(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Spliced:
    """Equal changes are kept once. UserError for a feature that the SAE does not have, and where a hook has no single
    vector a step."""
    entries, device = batch.entries(edits), batch.model.device
    if hook.has_all_positions:
        raise UserError(f"splice at '{hook.name}': an SAE reads one vector at each step; splice at the residual stream")
    named = list(dict.fromkeys(entry.edit.sae for entry in entries))
    saes = [batch.sae(one, hook.name) for one in named]
    distinct = [list(dict.fromkeys(e.edit.changes for e in entries if e.edit.sae == one)) for one in named]
    maps = [
        _maps([_affine(hook, sae, own, batch) for own in some], device)
        for sae, some in zip(saes, distinct, strict=True)
    ]
    choice = [named.index(entry.edit.sae) for entry in entries]
    change = [distinct[place].index(entry.edit.changes) for place, entry in zip(choice, entries, strict=True)]
    error = torch.tensor([entry.edit.error for entry in entries], device=device)
    return Spliced(batch.targets(entries), saes, maps, choice, torch.tensor(change, device=device), error)


def _maps(pairs: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> FeatureMaps:
    scale, shift = (torch.stack(part).to(device) for part in zip(*pairs, strict=True))
    return FeatureMaps(scale, shift)


def _affine(
    hook: Hook, sae: Sae, changes: Sequence[Change], batch: Batch
) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
    """Changes one after the other as ``scale · f + shift``."""
    scale, shift = torch.ones(sae.n_features), torch.zeros(sae.n_features)
    for change in changes:
        there = _levels(hook, sae, change, batch)
        own, value = there > 0, change.value
        match change.how:
            case How.set:
                scale[own], shift[own] = 0.0, (value * there)[own]
            case How.scale:
                scale[own], shift[own] = value * scale[own], value * shift[own]
            case How.add:
                shift[own] = shift[own] + (value * there)[own]
            case How.zero:
                scale[own], shift[own] = 0.0, 0.0
    return scale, shift


def _levels(hook: Hook, sae: Sae, change: Change, batch: Batch) -> Float[Tensor, " feature"]:
    """The unit of a change's value for each feature that it concerns, 0 for the others."""
    if isinstance(change.feature, ConceptFeatures):
        return batch.resolve(change.feature, hook.name)[0, 0].cpu()
    if not 0 <= change.feature < sae.n_features:
        raise UserError(
            f"splice at '{hook.name}': feature {change.feature} does not exist; the SAE has {sae.n_features}, "
            f"0 to {sae.n_features - 1}"
        )
    return torch.nn.functional.one_hot(torch.tensor(change.feature), sae.n_features).float()
