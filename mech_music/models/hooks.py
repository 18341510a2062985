"""A hook is a name; this file alone knows which audiocraft module it means.

Names follow TransformerLens' grammar for a decoder block with cross-attention
(``blocks.{layer}.hook_{point}``). A MusicGen layer is pre-norm, so every branch output
below is what is *added to the residual stream*::

    resid_pre ──+ attn_out ──► resid_mid ──+ cross_attn_out ──► resid_mid_cross ──+ mlp_out ──► resid_post

A model whose text stands before the music (melody) has no cross-attention: its ``mlp_out`` is added to ``resid_mid``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mech_music.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Component(StrEnum):
    """The short names that users type, and the hook point of each."""

    sa = "sa"
    ca = "ca"
    mlp = "mlp"
    resid = "resid"

    @property
    def point(self) -> str:
        return {"sa": "attn_out", "ca": "cross_attn_out", "mlp": "mlp_out", "resid": "resid_post"}[self.value]


Layer = Any
"""nnsight's envoy of a decoder layer: its children and values are attributes made at run time."""


@dataclass(frozen=True)
class _Site:
    """How a hook point is read from (and written to) the envoy of its layer."""

    read: Callable[[Layer], Tensor]
    write: Callable[[Layer, Tensor], None] | None


def _write_self_attn(layer: Layer, value: Tensor) -> None:
    layer.self_attn.output = (value, None)


def _write_cross_attention(layer: Layer, value: Tensor) -> None:
    layer.cross_attention.output = (value, None)


def _write_mlp(layer: Layer, value: Tensor) -> None:
    layer.linear2.output = value


def _write_post(layer: Layer, value: Tensor) -> None:
    layer.output = value


def _write_pre(layer: Layer, value: Tensor) -> None:
    layer.input = value


# In forward order: nnsight serves values in the order in which the modules run.
# The two "mid" points are seen at the norm that reads them; writing there would change
# the branch only and not the stream, so they are read-only.
_SITES: dict[str, _Site] = {
    "resid_pre": _Site(lambda layer: layer.input, _write_pre),
    "attn_out": _Site(lambda layer: layer.self_attn.output[0], _write_self_attn),
    "resid_mid": _Site(lambda layer: (layer.norm2 if layer.cross_attention is None else layer.norm_cross).input, None),
    "cross_attn_out": _Site(lambda layer: layer.cross_attention.output[0], _write_cross_attention),
    "resid_mid_cross": _Site(lambda layer: layer.norm2.input, None),
    "mlp_out": _Site(lambda layer: layer.linear2.output, _write_mlp),
    "resid_post": _Site(lambda layer: layer.output, _write_post),
}
POINTS = tuple(_SITES)
CROSS_POINTS = ("cross_attn_out", "resid_mid_cross")
"""Those that a model without cross-attention does not have."""
BRANCHES = ("attn_out", "cross_attn_out", "mlp_out")
_NAME = re.compile(r"blocks\.(\d+)\.hook_(\w+)")


@dataclass(frozen=True)
class Hook:
    """One hook point of one layer. Sorts in forward order."""

    layer: int
    point: str

    @classmethod
    def parse(cls, name: str) -> Hook:
        """``blocks.3.hook_mlp_out`` → ``Hook(3, "mlp_out")``; UserError for any other name."""
        match = _NAME.fullmatch(name)
        if match is None or match[2] not in _SITES:
            points = ", ".join(POINTS)
            raise UserError(f"unknown hook '{name}': expected blocks.<layer>.hook_<point>, point one of {points}")
        return cls(int(match[1]), match[2])

    @property
    def name(self) -> str:
        return f"blocks.{self.layer}.hook_{self.point}"

    @property
    def editable(self) -> bool:
        return _SITES[self.point].write is not None

    def __lt__(self, other: Hook) -> bool:
        return (self.layer, POINTS.index(self.point)) < (other.layer, POINTS.index(other.point))

    def read(self, layers: Sequence[Layer]) -> Tensor:
        """The hook's value inside a trace: ``[half·row, position, d_model]``, conditional half first."""
        return _SITES[self.point].read(layers[self.layer])

    def write(self, layers: Sequence[Layer], value: Tensor) -> None:
        """Put ``value`` in the place of the hook's value; UserError at a read-only point."""
        write = _SITES[self.point].write
        if write is None:
            editable = ", ".join(point for point in POINTS if _SITES[point].write)
            raise UserError(f"hook '{self.name}' is read-only: edit one of {editable}")
        write(layers[self.layer], value)


def all_hooks(n_layers: int, points: Container[str] = POINTS) -> tuple[Hook, ...]:
    """The hooks at ``points`` in a model with ``n_layers`` layers, in forward order."""
    return tuple(Hook(layer, point) for layer in range(n_layers) for point in POINTS if point in points)
