"""Which features of an SAE another one has as well: decoders that point the same way, and fire on the same steps.

Seeds are known to share few features: Paulo and Belrose, "Sparse autoencoders trained on the same data learn different
features" (2025). Beside it stands what a random dictionary of the same size has.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.activations.shards import Activations
from mech_music.saes.harvest import gather
from mech_music.saes.measured import Overlap
from mech_music.saes.named import recorded_for
from mech_music.saes.recorded import open_sae
from mech_music.saes.sae import Sae

_BLOCK = 1024  # features whose cosines with all others are in memory at once


class _Overlap:
    """Recipe of `Overlap`. Records by feature of ``sae``: ``match`` (the other's nearest), ``cosine``, ``mutual``
    (whether it is the nearest of its match, too), and ``iou``, steps in which both fire over those in which any does
    (conditional half; NaN where none ever does)."""

    def needs(self, source: Overlap) -> Sequence[object]:
        return (*recorded_for(source.sae), *recorded_for(source.other))

    def together(self, source: Overlap) -> Hashable:
        return source

    def make(self, sources: Sequence[Overlap], making: Making) -> dict[Overlap, dict[str, np.ndarray]]:
        found = {}
        for source in sources:
            both = (open_sae(one, source.hook, making.passes) for one in (source.sae, source.other))
            own, other = (one.to(making.passes.model.device) for one in both)
            match, cosine, mutual = nearest(own.W_dec, other.W_dec)
            shared = iou(own, other, match, source.hook, gather(source.harvest, [source.hook], making))
            tensors = {"match": match, "cosine": cosine, "mutual": mutual, "iou": shared}
            found[source] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return found


def nearest(
    own: Float32[Tensor, "feature width"], other: Float32[Tensor, "other width"]
) -> tuple[Int[Tensor, " feature"], Float32[Tensor, " feature"], Tensor]:
    """For each row, the row of the other that points the most in its direction, their cosine, and whether it is that
    row's own nearest, too. Cosines are taken in blocks: no matrix of all pairs is held."""
    own, other = (torch.nn.functional.normalize(one, dim=1) for one in (own, other))
    cosine, match = _highest(own, other)
    _, back = _highest(other, own)
    return match, cosine, back[match] == torch.arange(len(own), device=own.device)


def _highest(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    blocks = [(block @ other.T).max(1) for block in own.split(_BLOCK)]
    return torch.cat([block.values for block in blocks]), torch.cat([block.indices for block in blocks])


@torch.no_grad()
def iou(own: Sae, other: Sae, match: Tensor, hook: str, activations: Activations) -> Float32[Tensor, " feature"]:
    """Intersection over union of the steps in which a feature and its match fire."""
    both, either = (torch.zeros(own.n_features, dtype=torch.float64, device=match.device) for _ in range(2))
    for chunk in activations:
        for x in chunk.values[hook][:, :, 0].to(match.device):
            here, there = own.encode(x) > 0, other.encode(x)[:, match] > 0
            both += (here & there).sum(0)
            either += (here | there).sum(0)
    return (both / either).float()


register(Overlap, _Overlap())
