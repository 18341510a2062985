"""What training takes, before anything is generated for it: bytes of memory and of disk, products, time at least.

Weights, gradients and Adam's two moments are float32. Of a batch, every matrix ``[vector, feature]`` counts: those that
are kept for the way back and those that it makes, with dead features' own. Products are counted as 2 · rows · columns ·
inner each: encoding and decoding, the gradients of both matrices, and that of features.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mech_music.base.errors import UserError
from mech_music.base.machine import free_memory, free_on
from mech_music.edits.row import Half
from mech_music.saes.named import SaeFit, TrainedSae
from mech_music.saes.shuffle import BUDGET

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

_STATES = 4  # of each weight: itself, its gradient, Adam's two moments
_MATRICES = (
    8  # [vector, feature] at once, in a step: 6.0 to 6.7 measured with all features dead, and gradients and Adam new
)
_PRODUCTS = 5
_MIXED = 3  # times the vectors that are mixed at once: while the next block is read, the last is still there
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Cost:
    """Bytes: ``weights`` of all SAEs in float32, ``state`` with gradients and Adam's moments, ``batch`` of the largest
    SAE's step, ``mixed`` of vectors in the machine's memory, ``disk`` of activations. ``flops``: of all steps."""

    n_saes: int
    vectors: int
    steps: int
    weights: int
    state: int
    batch: int
    mixed: int
    disk: int
    flops: float

    @property
    def on_device(self) -> int:
        """Bytes where it is trained."""
        return self.state + self.batch

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.n_saes} SAE{'s' if self.n_saes > 1 else ''}"

    def told(self, rate: float) -> str:
        """One line; ``rate``: products a second (floating-point operations)."""
        return (
            f"training {self.what} on {self.vectors:,} vectors: {_gb(self.on_device)} "
            f"(weights {_gb(self.weights)}, with gradients and Adam {_gb(self.state)}, a batch {_gb(self.batch)}), "
            f"{_gb(self.mixed)} for the vectors mixed at once, {_gb(self.disk)} of disk; {self.flops:.2g} FLOPs in "
            f"{self.steps:,} steps, {_time(self.flops / rate)} or more at {rate / 1e9:,.0f} GFLOP/s"
        )


def cost(fits: Sequence[SaeFit], width: int, vectors: int, on_disk: int, hooks: int = 1) -> Cost:
    """Of SAEs trained side by side. ``vectors``: of each hook and epoch, ``on_disk``: bytes of activations."""
    first = fits[0]
    weights = [4 * (2 * fit.n_features * width + 2 * fit.n_features + width) for fit in fits]
    batch = max(4 * fit.batch * (_MATRICES * fit.n_features + 6 * width) for fit in fits)
    steps = max(1, first.epochs * (vectors // first.batch))
    flops = sum(2.0 * _PRODUCTS * first.batch * fit.n_features * width for fit in fits) * steps
    mixed = _MIXED * min(BUDGET, 4 * vectors * width * hooks)
    return Cost(len(fits), vectors, steps, sum(weights), _STATES * sum(weights), batch, mixed, on_disk, flops)


def cost_of(sources: Sequence[TrainedSae], passes: PassRunner) -> Cost:
    """Of SAEs that share their batches, on the model of these passes."""
    fits, model = [source.fit for source in sources], passes.model
    harvest, hooks = fits[0].harvest, len({source.hook for source in sources})
    each = harvest.n_clips * passes.n_steps
    halves = model.halves if fits[0].half is Half.both else 1
    disk = each * model.halves * model.d_model * hooks * _BYTES[harvest.dtype] if passes.keep_activations else 0
    return cost(fits, model.d_model, each * halves, disk, hooks)


def must_fit(planned: Cost, device: torch.device) -> None:
    """UserError if it takes more memory than there is."""
    apart = device.type == "cuda"
    wants = [(planned.on_device, free_on(device), str(device)), (planned.mixed, free_memory(), "the machine")]
    if not apart:
        wants = [(planned.on_device + planned.mixed, free_memory(), "the machine")]
    for wanted, free, where in wants:
        if free is not None and wanted > free:
            raise UserError(
                f"training {planned.what} takes {_gb(wanted)} (weights with gradients and Adam {_gb(planned.state)}, a "
                f"batch {_gb(planned.batch)}), {where} has {_gb(free)} left: use a smaller sae.width or sae.batch, "
                "or fewer layers and sizes at once"
            )


def rate_on(device: torch.device, width: int) -> float:
    """Floating-point operations a second in products of this width, measured now, for a moment."""
    one, other = torch.randn(1024, width, device=device), torch.randn(width, 1024, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        float((one @ other)[0, 0])
        times.append(time.perf_counter() - start)
    return 2.0 * 1024 * 1024 * width / min(times)


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB" if size < 1e11 else f"{size / 1e9:,.0f} GB"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
