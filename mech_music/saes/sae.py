"""A sparse autoencoder as it is used: from a hook's value to features and back.

``f = act((x − b_dec) W_enc + b_enc)``, ``x̂ = f W_dec + b_dec``: Bricken et al., "Towards Monosemanticity" (2023); TopK:
Gao et al., "Scaling and evaluating sparse autoencoders" (2024); JumpReLU: Rajamanoharan et al. (2024). Normalisation of
the inputs is folded into the weights: `x` is what the hook has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor


class Activation(StrEnum):
    """What makes features of pre-activations when an SAE is used; each looks at one vector alone."""

    topk = "topk"
    jumprelu = "jumprelu"
    relu = "relu"


@dataclass(frozen=True)
class About:
    """Where an SAE belongs, empty or 0 where its file does not tell. ``model``: a name for people; ``weights``: the
    fingerprint of the model's checkpoint; ``frame_rate``: frames a second; ``sample_rate``: of its sound, per second.
    ``hook``: in our grammar; ``written_hook``: as the file has it. ``trained``: how."""

    model: str = ""
    weights: str = ""
    hook: str = ""
    written_hook: str = ""
    frame_rate: float = 0.0
    trained: Mapping[str, Any] = field(default_factory=dict)
    sample_rate: int = 0


@dataclass(frozen=True)
class Sae:
    """Weights in float32. ``k``: features that are left with topk; ``threshold``: of jumprelu, one a feature."""

    W_enc: Float32[Tensor, "width feature"]
    b_enc: Float32[Tensor, " feature"]
    W_dec: Float32[Tensor, "feature width"]
    b_dec: Float32[Tensor, " width"]
    activation: Activation
    k: int = 0
    threshold: Float32[Tensor, " feature"] | None = None
    about: About = field(default_factory=About)

    @property
    def width(self) -> int:
        """Of the hook's vectors."""
        return self.W_dec.shape[1]

    @property
    def n_features(self) -> int:
        return self.W_dec.shape[0]

    def encode(self, x: Float[Tensor, "*position width"]) -> Float32[Tensor, "*position feature"]:
        """The features of vectors; each is 0 or positive."""
        pre = (x.float() - self.b_dec) @ self.W_enc + self.b_enc
        if self.activation is Activation.topk:
            return keep_top(pre, self.k)
        if self.threshold is not None:
            return pre.relu() * (pre > self.threshold)
        return pre.relu()

    def decode(self, features: Float32[Tensor, "*position feature"]) -> Float32[Tensor, "*position width"]:
        """The vectors that features stand for."""
        return features @ self.W_dec + self.b_dec

    def __call__(self, x: Float[Tensor, "*position width"]) -> Float32[Tensor, "*position width"]:
        """The reconstruction."""
        return self.decode(self.encode(x))

    def to(self, device: torch.device) -> Sae:
        """The same on a device."""
        there = {part.name: getattr(self, part.name) for part in fields(self)}
        moved = {name: value.to(device) for name, value in there.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def keep_top(pre: Float[Tensor, "*position feature"], k: int) -> Float[Tensor, "*position feature"]:
    """The ``k`` largest of each vector, those that are positive; the others are 0."""
    values, places = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter(-1, places, values.relu())
