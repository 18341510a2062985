"""Which audiocraft module a hook is read from and written to, through nnsight's envoys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mech_music.models.hooks import POINTS, Hook

Layer = Any
"""nnsight's envoy of a decoder layer: its children and values are attributes made at run time."""


@dataclass(frozen=True)
class _Site:
    """How a hook point is read from (and written to) the envoy of its layer."""

    read: Callable[[Layer], Tensor]
    write: Callable[[Layer, Tensor], None] | None


def _write_pre(layer: Layer, value: Tensor) -> None:
    layer.input = value


def _write_self_attn(layer: Layer, value: Tensor) -> None:
    layer.self_attn.output = (value, None)


def _write_cross_attention(layer: Layer, value: Tensor) -> None:
    layer.cross_attention.output = (value, None)


def _write_mlp(layer: Layer, value: Tensor) -> None:
    layer.linear2.output = value


def _write_post(layer: Layer, value: Tensor) -> None:
    layer.output = value


def _in_attention(point: str) -> _Site:
    """The identity modules that the attention classes of `attention` pass their values through."""
    module, name = point.split(".")
    attention = {"attn": "self_attn", "cross_attn": "cross_attention"}[module]

    def read(layer: Layer) -> Tensor:
        return getattr(getattr(layer, attention), f"hook_{name}").output

    def write(layer: Layer, value: Tensor) -> None:
        getattr(getattr(layer, attention), f"hook_{name}").output = value

    return _Site(read, write)


_SITES = {
    "resid_pre": _Site(lambda layer: layer.input, _write_pre),
    "attn_out": _Site(lambda layer: layer.self_attn.output[0], _write_self_attn),
    "resid_mid": _Site(lambda layer: (layer.norm2 if layer.cross_attention is None else layer.norm_cross).input, None),
    "cross_attn_out": _Site(lambda layer: layer.cross_attention.output[0], _write_cross_attention),
    "resid_mid_cross": _Site(lambda layer: layer.norm2.input, None),
    "mlp_out": _Site(lambda layer: layer.linear2.output, _write_mlp),
    "resid_post": _Site(lambda layer: layer.output, _write_post),
}
_SITES |= {point: _in_attention(point) for point in POINTS if point not in _SITES}


def read(hook: Hook, layers: Sequence[Layer]) -> Tensor:
    """The hook's value inside a trace, with every position of the forward pass."""
    return _SITES[hook.point].read(layers[hook.layer])


def write(hook: Hook, layers: Sequence[Layer], value: Tensor) -> None:
    """Put ``value`` in the place of the hook's value; UserError at a read-only point."""
    hook.must_be_editable()
    put = _SITES[hook.point].write
    assert put is not None
    put(layers[hook.layer], value)
