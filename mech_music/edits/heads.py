"""Edits of some heads only: the part of a value that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.protocol import CompiledEdit
from mech_music.models.hooks import Hook, Layout


@dataclass(frozen=True)
class Heads:
    """Some heads of a hook within attention: slices of its width, or parts of a pattern ``[half·row, head, key]``."""

    hook: Hook
    chosen: Sequence[int]
    n_heads: int

    @classmethod
    def of(cls, hook: Hook, chosen: Sequence[int], n_heads: int) -> Heads:
        """UserError for a hook that has no heads, and for a head that does not exist."""
        if hook.layout is Layout.stream:
            raise UserError(f"edit of '{hook.name}': heads can be chosen at q, k, v, z and pattern of attention only")
        if not chosen or not set(chosen) <= set(range(n_heads)):
            wrong = ", ".join(str(head) for head in chosen if not 0 <= head < n_heads) or "none"
            raise UserError(f"edit of '{hook.name}': heads={wrong}, but this model has heads 0 to {n_heads - 1}")
        return cls(hook, sorted(set(chosen)), n_heads)

    def take(self, value: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch part"]:
        """The part that is theirs."""
        if self.hook.layout is Layout.pattern:
            return value[..., self.chosen, :]
        return value.unflatten(-1, (self.n_heads, -1))[..., self.chosen, :].flatten(-2)

    def put(self, value: Float[Tensor, "*batch width"], part: Float[Tensor, "*batch part"]) -> Tensor:
        """A copy of the value with another part in the place of theirs."""
        edited = value.clone()
        if self.hook.layout is Layout.pattern:
            edited[..., self.chosen, :] = part
        else:
            of_heads = part.unflatten(-1, (len(self.chosen), -1))
            edited.unflatten(-1, (self.n_heads, -1))[..., self.chosen, :] = of_heads
        return edited


@dataclass(frozen=True)
class OnHeads:
    """An edit that was compiled for some heads' part of a value."""

    heads: Heads
    edit: CompiledEdit

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """All other heads are untouched bit for bit."""
        part = self.heads.take(value)
        edited = self.edit(step, part)
        return value if edited is part else self.heads.put(value, edited)
