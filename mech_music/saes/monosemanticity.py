"""How alike the tokens are that are sampled where a feature fires, and how alike in kind.

``H_tok`` is the entropy of those tokens, ``H_sem`` that of the clusters they are in (k-means of the tokens' rows in the
model's heads), both in nats and a mean over codebooks; ``R = 1 − H_sem / H_tok``. As there are fewer clusters than
tokens, R is far from 0 for frames drawn at random: it says nothing without that null. Two are made, each with exactly
as many firings: the tokens dealt out over all frames, and over whole clips (a feature's runs, and its steps, stay).
Entropies are those of observed shares, whose bias is that of the nulls where these have as many different tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from scipy.special import stdtr
from scipy.stats import false_discovery_control

from mech_music.activations.recipes import Making, register
from mech_music.activations.shards import Activations
from mech_music.base.errors import UserError
from mech_music.saes.harvest import gather
from mech_music.saes.measured import Meanings, Sampled
from mech_music.saes.named import recorded_for
from mech_music.saes.progress import progress
from mech_music.saes.recorded import open_sae
from mech_music.saes.sampled import by_step

NULLS = ("frames", "clips")
_BLOCK = 2**24  # counts in memory at once
_SEED = 11  # of the clusters and of what is dealt out
Tokens = Int[np.ndarray, "frame codebook"]
Clusters = Int[np.ndarray, "codebook card"]


class _Meanings:
    """Recipe of `Meanings`. Records ``entropies [token or cluster, feature]`` in nats, NaN for a feature that never
    fires, ``null [kind, draw, token or cluster, feature]`` in the order of `NULLS`, and ``firings [feature]``."""

    def needs(self, source: Meanings) -> Sequence[object]:
        return (*recorded_for(source.sae), Sampled(source.harvest))

    def together(self, source: Meanings) -> Hashable:
        return source

    def make(self, sources: Sequence[Meanings], making: Making) -> dict[Meanings, dict[str, np.ndarray]]:
        return {source: _entropies(source, making) for source in sources}


def _entropies(source: Meanings, making: Making) -> dict[str, np.ndarray]:
    passes = making.passes
    model, n_steps = passes.model, passes.n_steps
    tokens = passes.recording.get(Sampled(source.harvest))["tokens"]
    sampled = by_step(tokens, model, n_steps).numpy()
    kinds = clusters_of(model.unembedding(torch.float32).token_rows.cpu().numpy(), source.clusters)
    fired = firings(source, gather(source.harvest, [source.hook], making), making)
    n_features = open_sae(source.sae, source.hook, passes).n_features
    good = (tokens >= 0).flatten(1).all(1).numpy()
    null = np.full((len(NULLS), source.draws, 2, n_features), np.nan, np.float32)
    with progress("entropies", source.draws, making.quiet) as show:
        for draw in range(source.draws):
            for kind, dealt in enumerate(dealt_out(sampled, good, draw)):
                null[kind, draw] = entropies(fired, dealt.reshape(-1, dealt.shape[-1]), kinds, n_features)
            show(1)
    own = entropies(fired, sampled.reshape(-1, sampled.shape[-1]), kinds, n_features)
    counts = np.bincount(fired[:, 1], minlength=n_features)
    return {"entropies": own.astype(np.float32), "null": null, "firings": counts}


@torch.no_grad()
def firings(source: Meanings, activations: Activations, making: Making) -> Int[np.ndarray, "firing 2"]:
    """Frame (of all clips in their order) and feature of each."""
    sae = open_sae(source.sae, source.hook, making.passes).to(making.passes.model.device)
    places = {row: place for place, row in enumerate(source.harvest.rows)}
    found = []
    for chunk in activations:
        for row, x in zip(chunk.rows, chunk.values[source.hook][:, :, 0], strict=True):
            one = (sae.encode(x.to(sae.W_dec.device)) > 0).nonzero().cpu().numpy()
            one[:, 0] += places[row] * len(x)
            found.append(one)
    return np.concatenate(found)


def clusters_of(rows: Float[np.ndarray, "codebook card width"], n: int) -> Clusters:
    """Of each codebook's tokens, by k-means of what stands for them in the model."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise UserError("clusters of tokens need scikit-learn: pip install scikit-learn") from None
    how: dict[str, Any] = {"n_init": 4, "random_state": _SEED}
    distinct = [len(np.unique(one, axis=0)) for one in rows]  # tokens that a codebook does not use are all alike
    return np.stack([KMeans(min(n, own), **how).fit_predict(one) for own, one in zip(distinct, rows, strict=True)])


def dealt_out(
    sampled: Int[np.ndarray, "clip step codebook"], good: np.ndarray, draw: int
) -> Iterator[Int[np.ndarray, "clip step codebook"]]:
    """The same tokens at other frames, and in other clips: each codebook's at steps where it has any."""
    random = np.random.default_rng([_SEED, draw])
    frames = sampled.copy()
    for codebook in range(sampled.shape[2]):
        there = frames[..., codebook] >= 0
        frames[there, codebook] = random.permutation(frames[there, codebook])
    yield frames
    clips = sampled.copy()
    clips[good] = clips[random.permutation(np.flatnonzero(good))]
    yield clips


def entropies(
    fired: Int[np.ndarray, "firing 2"], tokens: Tokens, clusters: Clusters, n_features: int
) -> Float64[np.ndarray, "2 feature"]:
    """In nats: of tokens, and of their clusters; means over codebooks."""
    card, total = clusters.shape[1], np.zeros((2, n_features))
    block = max(1, _BLOCK // card)
    for own, kinds in zip(tokens.T, clusters, strict=True):
        values = own[fired[:, 0]]
        there, feature = values >= 0, fired[:, 1]
        member = np.eye(int(kinds.max()) + 1)[kinds]
        for start in range(0, n_features, block):
            n = min(block, n_features - start)
            mine = there & (feature >= start) & (feature < start + n)
            counts = np.bincount((feature[mine] - start) * card + values[mine], minlength=n * card).reshape(n, card)
            total[0, start : start + n] += entropy(counts)
            total[1, start : start + n] += entropy(counts @ member)
    return total / len(clusters)


def entropy(counts: Float[np.ndarray, "feature kind"]) -> Float64[np.ndarray, " feature"]:
    """Of observed shares, in nats; NaN where nothing was counted."""
    n = counts.sum(1, dtype=float)
    logs = np.log(counts, out=np.zeros(counts.shape), where=counts > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, np.log(n) - (counts * logs).sum(1) / n, np.nan)


# -- what it says ----------------------------------------------------------------------------------------------


def ratio(entropies: Float[np.ndarray, "*draw 2 feature"]) -> Float64[np.ndarray, "*draw feature"]:
    """R of entropies of tokens and of their clusters; NaN where all tokens are one."""
    token, semantic = np.moveaxis(entropies.astype(float), -2, 0)
    return 1 - np.divide(semantic, token, out=np.full(token.shape, np.nan), where=token > 1e-9)


def against_nulls(record: Mapping[str, np.ndarray], level: float = 0.95) -> dict[str, np.ndarray]:
    """By feature: ``token_entropy`` and ``semantic_entropy`` (nats), ``R``; of random frames, ``token_entropy_null``,
    ``R_null`` and the interval that holds ``level`` of their draws; ``R_clips``, of its own pattern laid on other
    clips; ``R_q``, of the hypothesis that R is as in one of the nulls (two-sided t of the draws; the larger p of both;
    false discovery rate over features, Benjamini and Hochberg 1995). NaN for features that never fire."""
    own, null = ratio(record["entropies"]), ratio(record["null"])
    p = np.max([_p(own, draws) for draws in null], axis=0)
    tested = np.isfinite(p)
    q = np.full(p.shape, np.nan)
    q[tested] = false_discovery_control(p[tested]) if tested.any() else p[tested]
    tail = (1 - level) / 2
    low, high = np.quantile(null[0], (tail, 1 - tail), axis=0)
    return {
        "firings": record["firings"],
        "token_entropy": record["entropies"][0],
        "semantic_entropy": record["entropies"][1],
        "token_entropy_null": record["null"][0, :, 0].mean(0),
        "R": own,
        "R_null": null[0].mean(0),
        "R_null_low": low,
        "R_null_high": high,
        "R_clips": null[1].mean(0),
        "R_q": q,
    }


def _p(own: Float64[np.ndarray, " feature"], draws: Float64[np.ndarray, "draw feature"]) -> np.ndarray:
    n, spread = len(draws), draws.std(0, ddof=1) * np.sqrt(1 + 1 / len(draws))
    far = np.abs(own - draws.mean(0))
    t = np.divide(far, spread, out=np.where(far > 0, np.inf, 0.0), where=spread > 0)
    return np.where(np.isfinite(own), 2 * stdtr(n - 1, -t), np.nan)


register(Meanings, _Meanings())
