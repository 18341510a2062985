"""Weights as a file has them, and what is folded into them so that they work on a hook's own values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from safetensors.torch import load
from torch import Tensor

from mech_music.saes.sae import About, Activation, Sae


@dataclass(frozen=True)
class Written:
    """In our names and shapes. ``k`` of topk; ``threshold`` of jumprelu.

    ``centred``: the input has b_dec taken off before it is encoded. ``scale``: what the input was multiplied by (and
    the output divided by). ``by_norm``: pre-activations are multiplied by the norm of their decoder row before features
    are chosen, and features work on rows of norm 1; a threshold is then on that product.
    """

    W_enc: Float32[Tensor, "width feature"]
    b_enc: Float32[Tensor, " feature"]
    W_dec: Float32[Tensor, "feature width"]
    b_dec: Float32[Tensor, " width"]
    activation: Activation
    k: int = 0
    threshold: Float32[Tensor, " feature"] | None = None
    centred: bool = True
    scale: float = 1.0
    by_norm: bool = False

    def sae(self, about: About) -> Sae:
        """With everything folded in. ValueError for weights that do not fit each other, or are not finite."""
        self._must_fit()
        W_enc, b_enc = self.W_enc * self.scale, self.b_enc
        W_dec, b_dec, threshold = self.W_dec / self.scale, self.b_dec / self.scale, self.threshold
        if not self.centred:
            b_enc = b_enc + b_dec @ W_enc  # so that it is taken off and comes back
        if self.by_norm:
            norm = W_dec.norm(dim=1).clamp(min=1e-8)
            W_enc, b_enc, W_dec = W_enc * norm, b_enc * norm, W_dec / norm[:, None]
            threshold = None if threshold is None else threshold / self.scale
        edge = None if threshold is None else threshold.relu().contiguous()  # features below 0 are off anyway
        return Sae(W_enc.contiguous(), b_enc, W_dec.contiguous(), b_dec, self.activation, self.k, edge, about)

    def _must_fit(self) -> None:
        n, width = self.W_dec.shape
        shapes = [tuple(one.shape) for one in (self.W_enc, self.b_enc, self.W_dec, self.b_dec)]
        if shapes != [(width, n), (n,), (n, width), (width,)]:
            raise ValueError(f"weights are {shapes}, which do not fit each other")
        threshold = self.b_enc if self.threshold is None else self.threshold
        if threshold.shape != (n,):
            raise ValueError(f"thresholds are {tuple(threshold.shape)}, not one for each of {n} features")
        if not all(torch.isfinite(one).all() for one in (self.W_enc, self.b_enc, self.W_dec, self.b_dec, threshold)):
            raise ValueError("weights are not finite")
        if self.activation is Activation.topk and not 1 <= self.k <= n:
            raise ValueError(f"k {self.k}: expected 1 to its width, {n}")


def safe_tensors(path: Path) -> dict[str, Tensor]:
    """Everything in a safetensors file, as float32."""
    return {name: tensor.float() for name, tensor in load(path.read_bytes()).items()}


def must_be(stated: object, found: int, what: str) -> None:
    """ValueError if what a config states of the weights is not so; it may leave it out."""
    if stated is not None and stated != found:
        raise ValueError(f"the config states {what} {stated}, the weights have {found}")
