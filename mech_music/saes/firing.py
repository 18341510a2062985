"""What the features of an SAE do on given clips: how strongly and how often they fire, and what they do not explain."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from mech_music.activations.shards import Activations
from mech_music.saes.named import Corpus, Harvest
from mech_music.saes.sae import Sae

_TURNS = 5  # seed of what each clip is turned by


class _Tally:
    """Sums over clips, one clip after the other."""

    def __init__(self, n_clips: int, halves: int, sae: Sae) -> None:
        nan, width = np.nan, sae.width
        self.activation, self.share, self.peak = (np.full((n_clips, sae.n_features), nan, np.float32) for _ in range(3))
        self.peak_step = np.zeros((n_clips, sae.n_features), np.int32)
        self.by_step, self.by_shifted_step = torch.zeros(2, 0)
        self.neuron = np.full((n_clips, halves, width), nan, np.float32)
        self.error, self.squares = (np.full((n_clips, halves), nan) for _ in range(2))
        self.l0 = np.full(n_clips, nan)
        self.largest = torch.zeros(sae.n_features, device=sae.W_dec.device)
        self.gram = torch.zeros(width, width, dtype=torch.float64, device=sae.W_dec.device)
        self.n_steps = 0
        self._sae = sae

    def add(self, place: int, x: Float32[Tensor, "step half width"]) -> None:
        """One clip. Features are counted in the conditional half, which comes first."""
        features = self._sae.encode(x)
        error = x - self._sae.decode(features)
        fired = features[:, 0] > 0
        self.activation[place] = features[:, 0].mean(0).cpu().numpy()
        self.share[place] = fired.float().mean(0).cpu().numpy()
        peak, peak_step = features[:, 0].max(0)
        self.peak[place], self.peak_step[place] = peak.cpu().numpy(), peak_step.cpu().numpy()
        self._add_steps(place, fired.cpu())
        self.neuron[place] = x.mean(0).cpu().numpy()
        self.error[place] = error.double().square().sum((0, 2)).cpu().numpy()
        self.squares[place] = x.double().square().sum((0, 2)).cpu().numpy()
        self.l0[place] = float(fired.sum(1).float().mean())
        self.largest = torch.maximum(self.largest, features[:, 0].amax(0))
        self.gram += x[:, 0].double().T @ x[:, 0].double()
        self.n_steps = len(x)

    def _add_steps(self, place: int, fired: Bool[Tensor, "step feature"]) -> None:
        """Also with the clip turned by some steps: what is left there of a place in the clip is chance."""
        turn = int(np.random.default_rng([_TURNS, place]).integers(len(fired)))
        if not self.n_steps:
            self.by_step, self.by_shifted_step = torch.zeros(2, *fired.shape)
        self.by_step += fired
        self.by_shifted_step += fired.roll(turn, 0)

    def record(self) -> dict[str, np.ndarray]:
        """Squares about the mean of all clips; the mean and the covariance are those of vectors."""
        mean = np.nanmean(self.neuron.astype(float), axis=0)
        crossed = 2 * np.einsum("chw,hw->ch", self.neuron.astype(float), mean)
        variance = self.squares + self.n_steps * ((mean**2).sum(-1) - crossed)
        n_clips = int(np.isfinite(self.l0).sum())
        n = self.n_steps * n_clips
        covariance = self.gram.cpu().numpy() / n - np.outer(mean[0], mean[0])
        return {
            "activation": self.activation,
            "share": self.share,
            "peak": self.peak,
            "peak_step": self.peak_step,
            "by_step": self.by_step.numpy() / n_clips,
            "by_shifted_step": self.by_shifted_step.numpy() / n_clips,
            "neuron": np.ascontiguousarray(self.neuron[:, 0]),
            "error": self.error,
            "variance": variance,
            "l0": self.l0,
            "largest": self.largest.cpu().numpy(),
            "mean": mean.astype(np.float32),
            "covariance": covariance.astype(np.float32),
        }


@torch.no_grad()
def firing_of(
    sae: Sae, hook: str, harvest: Harvest | Corpus, activations: Activations
) -> dict[str, Float[np.ndarray, ...]]:
    """By clip, in the order of the harvest (NaN for one that failed), of features in the conditional half:

    ``activation`` and ``share [clip, feature]``: mean over steps, share of steps in which it fires; ``peak`` and
    ``peak_step [clip, feature]``: the largest, and the first step that has it; ``by_step [step, feature]``: the share
    of clips in which it fires there, and ``by_shifted_step`` the same with each clip turned by a number of steps drawn
    for it; ``l0 [clip]``; ``largest [feature]``; ``neuron [clip, width]``: the hook's own mean; ``error`` and
    ``variance [clip, half]``: sums of squares, left over and about the mean of all clips; ``mean [half, width]`` and
    ``covariance`` of vectors.
    """
    places = {row: place for place, row in enumerate(harvest.rows)}
    tally: _Tally | None = None
    for chunk in activations:
        values = chunk.values[hook].to(sae.W_dec.device)
        tally = tally or _Tally(harvest.n_clips, values.shape[2], sae)
        for row, x in zip(chunk.rows, values, strict=True):
            tally.add(places[row], x)
    assert tally is not None
    return tally.record()
