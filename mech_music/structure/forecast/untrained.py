"""A model of the same architecture that has learnt nothing: its own weights, each tensor's entries in another order.

So every weight keeps the distribution that training gave it, and features are as large and as many as the model's own
(after the random baselines of Adebayo et al., "Sanity checks for saliency maps", 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from mech_music.base.errors import UserError

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator


@contextmanager
def shuffled_weights(generator: Generator, seed: int) -> Iterator[None]:
    """Within, the generator's weights are shuffled; afterwards they are as before, to the last bit.

    UserError for a generator that holds no module of PyTorch.
    """
    held = [value for value in vars(generator).values() if isinstance(value, nn.Module)]
    weights = list(dict.fromkeys(weight for module in held for weight in module.parameters()))
    if not weights:
        raise UserError("the random control shuffles a model's weights, and this one holds no module with any")
    random = torch.Generator().manual_seed(seed)
    kept = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight in weights:
                order = torch.randperm(weight.numel(), generator=random).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))
        yield
    finally:
        with torch.no_grad():
            for weight, own in zip(weights, kept, strict=True):
                weight.copy_(own)
