"""An SAE spliced in: a hook's value goes through its features, some of which are changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.protocol import Batch, Edits, Entry, Take, Targets, compiles
from mech_music.edits.row import Half
from mech_music.models.hooks import Hook
from mech_music.models.protocol import MIN_PASS
from mech_music.saes.named import Dictionary, recorded_for

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

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
    """What becomes of one feature. ``value``: in the unit of activations, of scale a factor, of zero nothing."""

    feature: int
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
        return recorded_for(self.sae)


@dataclass
class Spliced:
    """Each entry through its own SAE with its own changes; always as many vectors at once, so that a clip's bits do not
    depend on its neighbours."""

    targets: Targets
    entries: Sequence[Entry]
    saes: Sequence[Sae]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The spliced value; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        chosen = range(len(self.entries)) if active is None else active.tolist()
        if not chosen:
            return value
        out = value.clone()
        for sae in {id(self.saes[place]): self.saes[place] for place in chosen}.values():
            own = [place for place in chosen if self.saes[place] is sae]
            index = self.targets.index[own]
            out[index] = self._through(sae, own, value[index])
        return out

    def _through(self, sae: Sae, own: Sequence[int], value: Float[Tensor, "entry position width"]) -> Tensor:
        import torch

        x = value.float()
        lacking = max(0, 2 * MIN_PASS - len(x))
        features = sae.encode(torch.cat([x, x[-1:].expand(lacking, -1, -1)]))
        changed = features.clone()
        for row, place in enumerate(own):
            for change in self.entries[place].edit.changes:
                changed[row, :, change.feature] = _changed(change, changed[row, :, change.feature])
        kept = torch.tensor([self.entries[place].edit.error for place in own], device=x.device)[:, None, None]
        moved = x + ((changed - features) @ sae.W_dec)[: len(x)]
        return torch.where(kept, moved, sae.decode(changed)[: len(x)]).to(value.dtype)


def _changed(change: Change, feature: Float[Tensor, " position"]) -> Tensor:
    match change.how:
        case How.set:
            return feature.new_full(feature.shape, change.value)
        case How.scale:
            return feature * change.value
        case How.add:
            return feature + change.value
        case How.zero:
            return feature.new_zeros(feature.shape)


@compiles(Splice)
def compile_splice(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Spliced:
    """UserError for a feature that the SAE does not have, and where a hook has no single vector a step."""
    entries = batch.entries(edits)
    if hook.has_all_positions:
        raise UserError(f"splice at '{hook.name}': an SAE reads one vector at each step; splice at the residual stream")
    saes = [batch.sae(entry.edit.sae, hook.name) for entry in entries]
    for entry, sae in zip(entries, saes, strict=True):
        for change in entry.edit.changes:
            if not 0 <= change.feature < sae.n_features:
                raise UserError(
                    f"splice at '{hook.name}': feature {change.feature} does not exist; the SAE has {sae.n_features}, "
                    f"0 to {sae.n_features - 1}"
                )
    return Spliced(batch.targets(entries), entries, saes)
