"""Which features follow how loud the music is, or fire where there is none."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.listeners import loudness
from mech_music.listeners.protocol import Clips
from mech_music.saes.harvest import gather
from mech_music.saes.measured import Loudness, Sampled
from mech_music.saes.named import recorded_for
from mech_music.saes.progress import progress
from mech_music.saes.recorded import open_sae

SILENT = -60.0
"""Of a frame's level, dB below full scale."""
_CLIPS = 16  # rendered at once


class _Loudness:
    """Recipe of `Loudness`. Records by feature ``correlation`` of its activation with the frames' level (dB, over clips
    and steps; NaN for one that does not vary), ``correlation_null`` with the level of the harvest's next clip, and
    ``silence``, the share of its firings in frames below `SILENT`; ``silent``, the share of such frames."""

    def needs(self, source: Loudness) -> Sequence[object]:
        return (*recorded_for(source.sae), Sampled(source.harvest))

    def together(self, source: Loudness) -> Hashable:
        return source

    def make(self, sources: Sequence[Loudness], making: Making) -> dict[Loudness, dict[str, np.ndarray]]:
        return {source: _followed(source, making) for source in sources}


@torch.no_grad()
def _followed(source: Loudness, making: Making) -> dict[str, np.ndarray]:
    passes, harvest = making.passes, source.harvest
    sae = open_sae(source.sae, source.hook, passes).to(passes.model.device)
    levels = _levels(source, making)
    places = {row: place for place, row in enumerate(harvest.rows)}
    own, null = (Correlation(sae.n_features) for _ in range(2))
    silent, fired, n_silent = torch.zeros(sae.n_features), torch.zeros(sae.n_features), 0
    for chunk in gather(harvest, [source.hook], making):
        for row, x in zip(chunk.rows, chunk.values[source.hook][:, :, 0], strict=True):
            features = sae.encode(x.to(sae.W_dec.device)).cpu()[: levels.shape[1]]
            level, other = levels[places[row]], levels[(places[row] + 1) % len(levels)]
            own.add(features, level)
            null.add(features, other)
            active = (features > 0).float()
            fired, silent = fired + active.sum(0), silent + active[level < SILENT].sum(0)
            n_silent += int((level < SILENT).sum())
    found = {"correlation": own.value(), "correlation_null": null.value(), "silence": silent / fired}
    return {name: tensor.numpy() for name, tensor in found.items()} | {"silent": np.array(n_silent / own.n)}


def _levels(source: Loudness, making: Making) -> Float[Tensor, "clip frame"]:
    """Of each clip's frames, which are its first steps: the first codebook is sampled without a delay."""
    model, listener = making.passes.model, loudness.Loudness()
    tokens = making.passes.recording.get(Sampled(source.harvest))["tokens"].long().clamp(min=0)
    found = []
    with progress("clips heard", len(tokens), making.quiet) as show:
        for some in tokens.split(_CLIPS):
            found.append(torch.from_numpy(listener.read(Clips([], some.to(model.device), model))["db"]))
            show(len(some))
    return torch.cat(found)


class Correlation:
    """Pearson's, of each feature with one other number, from sums over steps."""

    def __init__(self, n_features: int) -> None:
        self.n = 0
        self._x, self._xx, self._xy = (torch.zeros(n_features, dtype=torch.float64) for _ in range(3))
        self._y, self._yy = (torch.zeros((), dtype=torch.float64) for _ in range(2))

    def add(self, x: Float[Tensor, "step feature"], y: Float[Tensor, " step"]) -> None:
        """Further steps."""
        x, y = x.double(), y.double()
        self.n += len(y)
        self._x, self._xx, self._xy = self._x + x.sum(0), self._xx + x.square().sum(0), self._xy + y @ x
        self._y, self._yy = self._y + y.sum(), self._yy + y.square().sum()

    def value(self) -> Float[Tensor, " feature"]:
        """NaN where either does not vary."""
        shared = self.n * self._xy - self._x * self._y
        spread = (self.n * self._xx - self._x.square()) * (self.n * self._yy - self._y.square())
        varies: Bool[Tensor, " feature"] = spread > 0
        return torch.where(varies, shared / spread.clamp(min=1e-300).sqrt(), torch.nan).float()


register(Loudness, _Loudness())
