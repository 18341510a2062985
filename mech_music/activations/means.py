"""Mean activations of a concept: per hook, per autoregressive step, per guidance half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.models.hooks import Hook

POINTS = ("attn_out", "cross_attn_out", "mlp_out", "resid_post")
"""What is recorded: every point that a component names, of every layer, in one go."""

# Sums are kept as multiples of 2⁻³⁰, whole numbers in float64, so that addition is exact and associative: the
# mean is the same bit for bit whatever the packing. Safe while n · |activation| < 2²³.
_UNIT = 2.0**30


class MeanRecorder:
    """Sums what it is shown, row after row; memory does not grow with the number of rows."""

    def __init__(self, hooks: Sequence[Hook], n_steps: int) -> None:
        self._n_steps, self._sums = n_steps, {}
        self.hooks, self.most = tuple(hooks), 2**31
        self.n_rows = 0

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 d_model"]) -> None:
        """Add the rows of a pass at one step."""
        rows = value[:, :, 0].double()
        if hook not in self._sums:
            self._sums[hook] = rows.new_zeros(self._n_steps, *rows.shape[1:])
        self._sums[hook][step] += (rows * _UNIT).round().sum(dim=0)

    def end_pass(self, places: Sequence[int]) -> None:
        """So many rows were shown, all their steps."""
        self.n_rows += len(places)

    def tensors(self) -> dict[str, Float32[np.ndarray, "step half d_model"]]:
        """The means so far, by hook name; non-finite activations make their sums meaningless."""
        unit = _UNIT * self.n_rows
        return {hook.name: (total / unit).float().cpu().numpy() for hook, total in self._sums.items()}
