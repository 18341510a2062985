"""What is set side by side to tell clips apart, pooled over time in the same ways: features, neurons, components."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.activations.shards import Activations
from mech_music.saes.harvest import gather
from mech_music.saes.measured import Basis, Linear, Pooled
from mech_music.saes.named import recorded_for
from mech_music.saes.pooling import pool
from mech_music.saes.recorded import open_sae

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

Courses = Callable[[Float32[Tensor, "step width"]], Float32[Tensor, "step feature"]]


class _Pooled:
    """Recipe of `Pooled`. Records ``[clip, feature]`` by the name of the pooling; NaN for a clip that failed."""

    def needs(self, source: Pooled) -> Sequence[object]:
        return () if isinstance(source.of, Basis) else recorded_for(source.of)

    def together(self, source: Pooled) -> Hashable:
        return source.harvest

    def make(self, sources: Sequence[Pooled], making: Making) -> dict[Pooled, dict[str, np.ndarray]]:
        hooks = list(dict.fromkeys(source.hook for source in sources))
        activations = gather(sources[0].harvest, hooks, making)
        courses = {source: _courses(source, making) for source in sources}
        return pooled(courses, activations, making.passes)


def _courses(source: Pooled, making: Making) -> Courses:
    if not isinstance(source.of, Basis):
        return open_sae(source.of, source.hook, making.passes).to(making.passes.model.device).encode
    mean, directions = moments(gather(source.of.harvest, [source.hook], making), source.hook)
    if source.of.kind is Linear.neurons:
        return lambda x: x - mean.to(x)
    return lambda x: (x - mean.to(x)) @ directions.to(x)


def moments(
    activations: Activations, hook: str
) -> tuple[Float32[Tensor, " width"], Float32[Tensor, "width component"]]:
    """The mean of vectors (conditional half), and their principal directions by descending variance."""
    total: Tensor | None = None
    gram, n = torch.zeros(()), 0
    for chunk in activations:
        x = chunk.values[hook][:, :, 0].flatten(0, 1).double()
        total, gram, n = x.sum(0) + (0 if total is None else total), gram + x.T @ x, n + len(x)
    assert total is not None
    mean = total / n
    _, vectors = torch.linalg.eigh(gram / n - mean.outer(mean))
    return mean.float(), vectors.flip(1).float()


@torch.no_grad()
def pooled(
    courses: Mapping[Pooled, Courses], activations: Activations, passes: PassRunner
) -> dict[Pooled, dict[str, np.ndarray]]:
    """One reading of the activations for all."""
    found: dict[Pooled, dict[str, np.ndarray]] = {source: {} for source in courses}
    places = {row: place for place, row in enumerate(next(iter(courses)).harvest.rows)}
    for chunk in activations:
        for source, course in courses.items():
            values = chunk.values[source.hook][:, :, 0].to(passes.model.device)
            for row, x in zip(chunk.rows, values, strict=True):
                for name, own in pool(course(x), source.poolings, passes.model.frame_rate).items():
                    table = found[source].setdefault(name, np.full((len(places), len(own)), np.nan, np.float32))
                    table[places[row]] = own.cpu().numpy()
    return found


register(Pooled, _Pooled())
