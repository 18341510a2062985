"""Mean activations of a concept: per hook, per autoregressive step, per guidance half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.models.hooks import Hook

POINTS = ("attn_out", "cross_attn_out", "mlp_out", "resid_post")
"""What is recorded: every point that a component names, of every layer, in one go."""
HEAD_POINTS = ("attn.z", "cross_attn.z")
"""The same for means of heads."""

# Sums are kept as multiples of 2⁻³⁰, whole numbers in float64, so that addition is exact and associative: the
# mean is the same bit for bit whatever the packing. Safe while n · |activation| < 2²³.
_UNIT = 2.0**30
_MOST_BYTES = 2**30  # of sums


class MeanRecorder:
    """Sums what it is shown, for several means at once; memory does not grow with the number of rows.

    Args:
        counts: how often each row is in each mean.
    """

    def __init__(self, hooks: Sequence[Hook], n_steps: int, counts: Float[Tensor, "row mean"]) -> None:
        self._n_steps, self._sums, self._counts = n_steps, {}, counts.double()
        self.hooks, self.most = tuple(hooks), 2**31
        self._shown = self._counts

    def begin_pass(self, places: Sequence[int]) -> None:
        """Which rows are shown next, all their steps."""
        self._shown = self._counts[list(places)]

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 d_model"]) -> None:
        """Add the rows of a pass at one step."""
        rows = (value[:, :, 0].double() * _UNIT).round()
        if hook not in self._sums:
            self._sums[hook] = rows.new_zeros(self._counts.shape[1], self._n_steps, *rows.shape[1:])
        self._sums[hook][:, step] += torch.einsum("rm,rhd->mhd", self._shown.to(rows.device), rows)

    def end_pass(self, places: Sequence[int]) -> None:
        """Nothing is left to do."""

    def tensors(self) -> list[dict[str, Float32[np.ndarray, "step half d_model"]]]:
        """Each mean, by hook name; non-finite activations make their sums meaningless."""
        units = (_UNIT * self._counts.sum(dim=0)).tolist()
        return [
            {hook.name: (sums[mean] / unit).float().cpu().numpy() for hook, sums in self._sums.items()}
            for mean, unit in enumerate(units)
        ]


def means_at_once(n_hooks: int, n_steps: int, halves: int, d_model: int) -> int:
    """How many means' sums may be held while one generation is watched."""
    return max(1, _MOST_BYTES // (n_hooks * n_steps * halves * d_model * 8))
