"""The end of a model: its final norm and its heads, from residual streams to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Unembedding:
    """The final layer norm and all heads of a model, one head for each codebook.

    Args:
        norm, heads: the model's own; their weights are copied.
        dtype: that of the heads' products, by default the weights' own; the norm is taken in float32.
    """

    def __init__(self, norm: nn.LayerNorm, heads: Sequence[nn.Linear], dtype: torch.dtype | None = None) -> None:
        self._weight = torch.cat([head.weight.detach() for head in heads]).to(dtype)
        biases = [head.bias.detach() for head in heads if head.bias is not None]
        self._bias = torch.cat(biases).to(dtype) if biases else None
        self._norm = nn.LayerNorm(list(norm.normalized_shape), norm.eps, device=self._weight.device).requires_grad_(
            False
        )
        self._norm.load_state_dict(norm.state_dict())
        self._n_codebooks = len(heads)

    @property
    def device(self) -> torch.device:
        return self._weight.device

    @property
    def token_rows(self) -> Float[Tensor, "codebook card d_model"]:
        """What each token's logit is read by: rows that are alike belong to tokens that the model treats alike."""
        return self._weight.unflatten(0, (self._n_codebooks, -1))

    def __call__(self, stream: Float[Tensor, "*position d_model"]) -> Float[Tensor, "*position codebook card"]:
        """The logits that the model would give, were this its last residual stream."""
        return self._heads(self._norm(stream.float()))

    def guided(
        self, stream: Float[Tensor, "half *position d_model"], guidance: float
    ) -> Float[Tensor, "*position codebook card"]:
        """What tokens are sampled from: ``uncond + guidance · (cond − uncond)``; of one half, its own logits.

        A sum of logits, and the heads are affine, so it is taken before them: half the work.
        """
        normed = self._norm(stream.float())
        if len(normed) == 1:
            return self._heads(normed[0])
        cond, uncond = normed
        return self._heads(uncond + (cond - uncond) * guidance)

    def _heads(self, normed: Tensor) -> Tensor:
        logits = nn.functional.linear(normed.to(self._weight.dtype), self._weight, self._bias)
        return logits.float().unflatten(-1, (self._n_codebooks, -1))
