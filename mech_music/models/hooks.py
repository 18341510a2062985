"""Hook names, in TransformerLens' grammar: those that any generator may have, in forward order.

``blocks.{layer}.hook_{point}`` for the residual stream and what is added to it. Layers are pre-norm, so every branch
output is what enters the stream::

    resid_pre ──+ attn_out ──► resid_mid ──+ cross_attn_out ──► resid_mid_cross ──+ mlp_out ──► resid_post

``blocks.{layer}.attn.hook_{q,k,v,pattern,z}`` within self-attention, ``blocks.{layer}.cross_attn.hook_…`` within
cross-attention. A model without cross-attention lacks its points: ``mlp_out`` is then added to ``resid_mid``.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from mech_music.base.errors import UserError


class Component(StrEnum):
    """The short names that users type, and the hook point of each."""

    sa = "sa"
    ca = "ca"
    mlp = "mlp"
    resid = "resid"

    @property
    def point(self) -> str:
        return {"sa": "attn_out", "ca": "cross_attn_out", "mlp": "mlp_out", "resid": "resid_post"}[self.value]

    @property
    def heads_point(self) -> str | None:
        """Where its heads' outputs are side by side; None for what has no heads."""
        return {"sa": "attn.z", "ca": "cross_attn.z"}.get(self.value)


class Layout(StrEnum):
    """The shape of a hook's value at one step (``half·row``: the conditional half first).

    ``stream``: ``[half·row, 1, d_model]``; ``heads``: ``[half·row, 1, head·d_head]``, heads one after the other;
    ``text``: ``[half·row, token, head·d_head]``, of the text that is attended to, the same at every step; ``pattern``:
    ``[half·row, head, key]``, the weights with which the step's query looks at its keys.
    """

    stream = "stream"
    heads = "heads"
    text = "text"
    pattern = "pattern"


IN_ATTENTION = ("q", "k", "v", "pattern", "z")
POINTS = (
    "resid_pre",
    *(f"attn.{name}" for name in IN_ATTENTION),
    "attn_out",
    "resid_mid",
    *(f"cross_attn.{name}" for name in IN_ATTENTION),
    "cross_attn_out",
    "resid_mid_cross",
    "mlp_out",
    "resid_post",
)
"""Every point of a layer, in forward order."""
STREAM_POINTS = tuple(point for point in POINTS if "." not in point)
CROSS_POINTS = tuple(point for point in POINTS if "cross" in point)
"""Those that a model without cross-attention does not have."""
BRANCHES = ("attn_out", "cross_attn_out", "mlp_out")
# Seen at the norm that reads them; a value put there would change the branch only and not the stream.
_READ_ONLY = ("resid_mid", "resid_mid_cross")
_NAME = re.compile(r"blocks\.(\d+)\.((?:\w+\.)?)hook_(\w+)")


@dataclass(frozen=True)
class Hook:
    """One hook point of one layer. Sorts in forward order."""

    layer: int
    point: str

    @classmethod
    def parse(cls, name: str) -> Hook:
        """``blocks.3.hook_mlp_out`` → ``Hook(3, "mlp_out")``, ``blocks.3.attn.hook_z`` → ``Hook(3, "attn.z")``.

        UserError for any other name.
        """
        match = _NAME.fullmatch(name)
        if match is None or match[2] + match[3] not in POINTS:
            raise UserError(
                f"unknown hook '{name}': expected blocks.<layer>.hook_<point>, point one of "
                f"{', '.join(STREAM_POINTS)}; or blocks.<layer>.attn.hook_<point> or blocks.<layer>.cross_attn."
                f"hook_<point>, point one of {', '.join(IN_ATTENTION)}"
            )
        return cls(int(match[1]), match[2] + match[3])

    @property
    def name(self) -> str:
        module, dot, last = self.point.rpartition(".")
        return f"blocks.{self.layer}.{module}{dot}hook_{last}"

    @property
    def editable(self) -> bool:
        return self.point not in _READ_ONLY

    @property
    def layout(self) -> Layout:
        """What the hook's value looks like."""
        if "." not in self.point:
            return Layout.stream
        if self.point.endswith("pattern"):
            return Layout.pattern
        return Layout.text if self.point in ("cross_attn.k", "cross_attn.v") else Layout.heads

    @property
    def has_all_positions(self) -> bool:
        """Whether a step's value is not that of its last position alone."""
        return self.layout in (Layout.text, Layout.pattern)

    def must_be_editable(self) -> None:
        """UserError at a read-only point."""
        if not self.editable:
            editable = ", ".join(point for point in POINTS if point not in _READ_ONLY)
            raise UserError(f"hook '{self.name}' is read-only: edit one of {editable}")

    def __lt__(self, other: Hook) -> bool:
        return (self.layer, POINTS.index(self.point)) < (other.layer, POINTS.index(other.point))


def all_hooks(n_layers: int, points: Container[str] = POINTS) -> tuple[Hook, ...]:
    """The hooks at ``points`` in a model with ``n_layers`` layers, in forward order."""
    return tuple(Hook(layer, point) for layer in range(n_layers) for point in POINTS if point in points)
