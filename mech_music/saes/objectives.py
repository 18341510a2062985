"""What an SAE minimises, for each way of keeping features sparse.

TopK and its auxiliary loss: Gao et al. (2024), section 2.4 and appendix A.2; BatchTopK: Bussmann et al. (2024);
Matryoshka: Bussmann et al., "Learning Multi-Level Features with Matryoshka SAEs" (2025), section 3; L1: Bricken et al.
(2023); JumpReLU's straight-through estimator: Rajamanoharan et al. (2024), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mech_music.saes.sae import keep_top

_BANDWIDTH = 0.05  # of the estimator, in normalised units
_AUXILIARY = 1 / 32  # weight of the dead features' loss


class JumpRelu(torch.autograd.Function):
    """``pre · [pre > threshold]``; the threshold's gradient is estimated from values near it."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < _BANDWIDTH / 2) / _BANDWIDTH
        return gradient * (pre > threshold), -(threshold * near * gradient).sum(0)


class Step(torch.autograd.Function):
    """``[pre > threshold]``, whose sum is the number of active features."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < _BANDWIDTH / 2) / _BANDWIDTH
        return None, -(near * gradient).sum(0)


def keep_top_of_batch(pre: Float[Tensor, "vector feature"], k: int) -> Float[Tensor, "vector feature"]:
    """The ``k`` largest a vector on average, wherever in the batch they are; those that are positive."""
    return keep_top(pre.flatten(), k * len(pre)).view_as(pre)


def errors_of_nested(
    centred: Float[Tensor, "vector width"],
    features: Float[Tensor, "vector feature"],
    decoder: Float[Tensor, "feature width"],
    ends: Sequence[int],
) -> list[Float[Tensor, "vector width"]]:
    """What the first features up to each end leave of vectors without b_dec; the last end is the number of features."""
    errors, left = [], centred
    for start, end in pairwise((0, *ends)):
        left = left - features[:, start:end] @ decoder[start:end]
        errors.append(left)
    return errors


def dead_loss(
    pre: Float[Tensor, "vector feature"],
    error: Float[Tensor, "vector width"],
    decoder: Float[Tensor, "feature width"],
    dead: Bool[Tensor, " feature"],
) -> Float[Tensor, ""]:
    """How badly the dead features alone would explain what the others leave, over its variance; weighed."""
    n_dead = int(dead.sum())
    if not n_dead:
        return error.new_zeros(())
    k = min(n_dead, decoder.shape[1] // 2)
    features = keep_top(pre.masked_fill(~dead, -torch.inf), k)
    left = error.detach()
    scale = (left - left.mean(0)).square().sum().clamp(min=1e-12)
    return _AUXILIARY * (left - features @ decoder).square().sum() / scale
