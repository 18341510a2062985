"""Linear layers whose weights are arranged once for the CPU's matrix units.

A product of few rows with a wide matrix spends time rearranging the matrix, at every call. oneDNN can do that once:
1.9 times faster with 96 rows of musicgen-small's width on an AMD Zen 4. On an Intel Xeon it is no faster than the plain
product, but there (and only so) a row's last bits do not depend on how many others are in its pass. Narrow products
(under `WIDE`) are the other way round; and their weights stay in the caches as they are.

It takes a second copy of the weights, made when a layer is first used: loading a model, or moving it to a GPU, does not
pay for it. The plain copy stays, for whoever reads or changes the weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mech_music.models.musicgen.footprint import WIDE

_KEPT = "_arranged"  # where a module keeps its arranged weights
_ROWS = 64  # what oneDNN is told to expect; arranged so, it serves fewer and more rows well, with the same last bits


def can_arrange(weight: Tensor) -> bool:
    """Whether a weight gains from it, here."""
    return (
        weight.device.type == "cpu"
        and min(weight.shape) >= WIDE
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and (weight.dtype is torch.float32 or (weight.dtype is torch.bfloat16 and _has_bfloat16()))
    )


def _has_bfloat16() -> bool:
    """Not on a processor without AVX-512."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Arranged:
    """A weight ``[out, in]`` as oneDNN wants it; arranged again when the original has changed."""

    def __init__(self, weight: Tensor) -> None:
        self._of = _state(weight)
        self._copy = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)

    def is_of(self, weight: Tensor) -> bool:
        return self._of == _state(weight)

    def apply(self, x: Float[Tensor, "*batch in"], bias: Tensor | None) -> Float[Tensor, "*batch out"]:
        """``x · weightᵀ + bias``."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.ops.mkldnn._linear_pointwise(flat, self._copy, bias, "none", [], "").unflatten(0, x.shape[:-1])


def _state(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), weight._version


class ArrangedLinear(nn.Linear):
    """An ``nn.Linear`` in its place and with its parameters; only the product takes the short way."""

    def forward(self, input: Tensor) -> Tensor:
        return product(self, input, self.weight, self.bias)


def product(keeper: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None, part: object = None) -> Tensor:
    """``x · weightᵀ + bias`` with a weight of ``keeper``, which keeps it arranged; ``part`` tells its weights apart."""
    kept: dict[object, Arranged] | None = keeper.__dict__.get(_KEPT)
    if kept is None or torch.is_grad_enabled() or not can_arrange(weight):
        return nn.functional.linear(x, weight, bias)
    if part not in kept or not kept[part].is_of(weight):
        kept[part] = Arranged(weight)
    return kept[part].apply(x.to(weight.dtype), bias)


def make_arrangeable(model: nn.Module) -> None:
    """Give a model's wide linear layers the class that can take the short way, once `arrange` says so.

    To be done before nnsight wraps the modules: it keeps each one's ``forward`` as it finds it.
    """
    for module in model.modules():
        if type(module) is nn.Linear and can_arrange(module.weight):
            module.__class__ = ArrangedLinear


def arrange(model: nn.Module) -> None:
    """Let a model's wide linear layers, and those within its attention, take the short way from now on."""
    for module in model.modules():
        if isinstance(module, ArrangedLinear) or hasattr(module, "in_proj_weight"):
            module.__dict__.setdefault(_KEPT, {})


def still_to_arrange(model: nn.Module) -> int:
    """Bytes that the copies will take which are made when their layers are first used."""
    waiting = [module for module in model.modules() if module.__dict__.get(_KEPT) == {}]
    weights = [module.weight if isinstance(module, ArrangedLinear) else module.in_proj_weight for module in waiting]
    return sum(weight.nbytes for weight in weights if isinstance(weight, Tensor) and can_arrange(weight))


def release(model: nn.Module) -> None:
    """Back to plain products, until `arrange` is called again; the arranged copies are freed."""
    for module in model.modules():
        module.__dict__.pop(_KEPT, None)
