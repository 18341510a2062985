"""Where the features of an SAE are heard and what their directions say: sources whose recordings a browser shows.

`Moments` keeps, for each feature, its activation along a few clips; `DecoderReadout` what can be told from the decoder
alone. Registered here: whoever asks for one has imported this module.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Int32
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.activations.shards import Activations
from mech_music.edits.content import stored
from mech_music.edits.row import Row
from mech_music.models.unembedding import Unembedding
from mech_music.saes.harvest import gather
from mech_music.saes.named import Dictionary, Firing, recorded_for
from mech_music.saes.recorded import open_sae
from mech_music.saes.sae import Sae

Tensors = Mapping[str, np.ndarray]
KINDS = ("strongest", "median", "random")
_AT_ONCE = 256  # features whose clips are ranked, or whose logits are held, at a time
_DRAWN, _DRAWN_BY = 256, 730_011  # random directions that a readout is compared with; a seed that no SAE starts from


@stored
@dataclass(frozen=True)
class Moments:
    """Along which clips of a firing's harvest each feature is shown, and its activation there.

    The ``strongest`` clips by peak; ``median``: those in the middle of the clips in which it fires; ``random``: drawn
    from all others by ``seed``, so that not only the best is heard.
    """

    firing: Firing
    strongest: int = 6
    median: int = 2
    random: int = 2
    seed: int = 0

    @property
    def kinds(self) -> list[int]:
        """Which of `KINDS` each place is."""
        return [0] * self.strongest + [1] * self.median + [2] * self.random


@stored
@dataclass(frozen=True)
class DecoderReadout:
    """What the decoder directions of an SAE say without any clip: the ``nearest`` other features, and the ``tokens``
    of each codebook whose logits the direction raises and lowers most on the direct path."""

    sae: Dictionary
    hook: str
    nearest: int = 8
    tokens: int = 5


# -- moments -------------------------------------------------------------------------------------------------


class _Moments:
    """Recipe of `Moments`: the firing says which clips, one reading of the activations has their traces."""

    def needs(self, source: Moments) -> Sequence[object]:
        return (*recorded_for(source.firing.sae), source.firing)

    def together(self, source: Moments) -> Hashable:
        return source.firing.harvest

    def make(self, sources: Sequence[Moments], making: Making) -> dict[Moments, Tensors]:
        hooks, passes = list(dict.fromkeys(one.firing.hook for one in sources)), making.passes
        activations, found = gather(sources[0].firing.harvest, hooks, making), {}
        for source in sources:
            sae = open_sae(source.firing.sae, source.firing.hook, passes).to(passes.model.device)
            clips = chosen_clips(source, passes.recording.get(source.firing)["peak"].numpy())
            places = {row: place for place, row in enumerate(source.firing.harvest.rows)}
            found[source] = {"clip": clips, "trace": _traces(sae, source.firing.hook, clips, places, activations)}
        return found


def chosen_clips(source: Moments, peak: Float32[np.ndarray, "clip feature"]) -> Int32[np.ndarray, "feature place"]:
    """The clips of each feature by their places in the harvest, in the order of `Moments.kinds`; −1 where there is
    none (left). Of equal peaks the first clip comes first; failed clips (NaN) are left out."""
    n_clips, n = peak.shape
    whole = np.flatnonzero(np.isfinite(peak).all(axis=1))
    clips = np.full((n, len(source.kinds)), -1, np.int32)
    for start in range(0, n, _AT_ONCE):
        block = np.nan_to_num(peak[:, start : start + _AT_ONCE])
        order, fires = np.argsort(-block, axis=0, kind="stable"), (block > 0).sum(axis=0)
        for at in range(block.shape[1]):
            clips[start + at] = _of_one(source, order[: fires[at], at], whole, start + at)
    assert clips.max(initial=-1) < n_clips
    return clips


def _of_one(source: Moments, ranked: np.ndarray, whole: np.ndarray, feature: int) -> np.ndarray:
    """``ranked``: the clips in which the feature fires, strongest first."""
    start = max(source.strongest, (len(ranked) - source.median) // 2)
    shown = [ranked[: source.strongest], ranked[start : start + source.median]]
    others = np.setdiff1d(whole, np.concatenate(shown))
    shown.append(np.random.default_rng([source.seed, feature]).permutation(others)[: source.random])
    sizes = (source.strongest, source.median, source.random)
    return np.concatenate([np.pad(x, (0, n - len(x)), constant_values=-1) for x, n in zip(shown, sizes, strict=True)])


@torch.no_grad()
def _traces(
    sae: Sae, hook: str, clips: Int32[np.ndarray, "feature place"], places: Mapping[Row, int], activations: Activations
) -> Float16[np.ndarray, "feature place step"]:
    """Each feature's activation at every step of its clips; memory does not grow with the number of clips."""
    flat = clips.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(len(places) + 1))
    traces: np.ndarray | None = None
    for chunk in activations:
        for row, values in zip(chunk.rows, chunk.values[hook], strict=True):
            place = places[row]
            features, slots = np.divmod(order[starts[place] : starts[place + 1]], clips.shape[1])
            if traces is None:
                traces = np.zeros((*clips.shape, len(values)), np.float16)
            if len(features):
                found = sae.encode(values[:, 0].to(sae.W_dec.device))[:, torch.from_numpy(features)]
                traces[features, slots] = found.T.cpu().numpy()
    assert traces is not None
    return traces


# -- the decoder ---------------------------------------------------------------------------------------------


class _Readout:
    """Recipe of `DecoderReadout`: nothing is generated."""

    def needs(self, source: DecoderReadout) -> Sequence[object]:
        return recorded_for(source.sae)

    def together(self, source: DecoderReadout) -> Hashable:
        return source

    def make(self, sources: Sequence[DecoderReadout], making: Making) -> dict[DecoderReadout, Tensors]:
        found, model = {}, making.passes.model
        for source in sources:
            sae = open_sae(source.sae, source.hook, making.passes).to(model.device)
            found[source] = read_decoder(sae.W_dec, model.unembedding(torch.float32), source.nearest, source.tokens)
        return found


@torch.no_grad()
def read_decoder(
    W_dec: Float[Tensor, "feature width"], unembed: Unembedding, n_nearest: int, n_tokens: int
) -> dict[str, np.ndarray]:
    """What `DecoderReadout` names.

    ``nearest``, ``cosine [feature, n]``: other features by the cosine of decoder directions; ``random_cosine``: the
    mean of the largest one of random directions. ``token``, ``effect [feature, codebook, 2n]``: the n tokens raised
    most, then the n lowered most, with what `direct_logits` says; ``random_effect [codebook]``: the mean of the largest
    one of random directions.
    """
    directions = torch.nn.functional.normalize(W_dec.float(), dim=1)
    drawn = torch.randn(_DRAWN, W_dec.shape[1], generator=torch.Generator().manual_seed(_DRAWN_BY))
    drawn = torch.nn.functional.normalize(drawn, dim=1).to(W_dec.device)
    n_nearest = min(n_nearest, len(W_dec) - 1)
    parts: dict[str, list[Tensor]] = {name: [] for name in ("nearest", "cosine", "token", "effect")}
    for start, block in _blocks(directions):
        cosines = block @ directions.T
        cosines[torch.arange(len(block)), start + torch.arange(len(block))] = -2  # not itself
        cosine, nearest = cosines.topk(n_nearest, dim=1)
        logits = direct_logits(block, unembed)
        n = min(n_tokens, logits.shape[-1] // 2)
        raised, lowered = logits.topk(n, dim=-1), (-logits).topk(n, dim=-1)
        token = torch.cat([raised.indices, lowered.indices], dim=-1)
        effect = torch.cat([raised.values, -lowered.values], dim=-1)
        for name, tensor in (
            ("nearest", nearest.int()),
            ("cosine", cosine),
            ("token", token.int()),
            ("effect", effect),
        ):
            parts[name].append(tensor.cpu())
    random_effect = direct_logits(drawn, unembed).amax(-1).mean(0)
    found = {name: torch.cat(some).numpy() for name, some in parts.items()}
    return found | {
        "random_effect": random_effect.cpu().numpy(),
        "random_cosine": (drawn @ directions.T).amax(1).mean()[None].cpu().numpy(),
    }


def _blocks(directions: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(directions), _AT_ONCE):
        yield start, directions[start : start + _AT_ONCE]


def direct_logits(
    directions: Float[Tensor, "feature width"], unembed: Unembedding
) -> Float32[Tensor, "feature codebook token"]:
    """The direct path (Elhage et al. 2021): what heads read off a direction, had it alone reached the end.

    ``heads(norm(s · d)) − heads(norm(0))`` with s large, so that the norm brings d to its own scale. What the layers
    in between make of it, and the residual stream that it would be added to, are left out.
    """
    scaled = directions * 1e3 / directions.std(dim=1, unbiased=False, keepdim=True)
    return unembed(scaled) - unembed(torch.zeros_like(directions[:1]))


register(Moments, _Moments())
register(DecoderReadout, _Readout())
