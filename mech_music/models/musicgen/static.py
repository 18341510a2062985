"""The autoregressive loop with fixed shapes: what a GPU can record once and replay.

The same modules, weights and arithmetic as `mech_music.models.musicgen.decode`, but the step's number is a tensor, the
caches have their full length, edits are tables (`Tables`), and nothing waits for the device. On a GPU each step is a
CUDA graph, one for each length of the cache in steps of `BUCKET`; on a CPU it runs as it is, on exactly the part of the
cache that is filled, so that every token is that of the traced loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.attention import KeptCrossAttention, PreallocatedSelfAttention, attend
from mech_music.models.musicgen.decode import Conditions, guided
from mech_music.models.musicgen.delay import to_frames
from mech_music.models.musicgen.imports import audiocraft_imports
from mech_music.models.protocol import Tables
from mech_music.models.sampling import RowNoise, Sampling, sample_top_k

with audiocraft_imports():
    from audiocraft.models.lm import LMModel
    from audiocraft.modules.transformer import create_sin_embedding

BUCKET = 128
"""On a GPU, attention reads as many cached positions as the next multiple of this."""
_WARM_UPS = 2  # runs of a step before it is recorded: libraries choose their kernels in the first


def can_decode(lm: LMModel) -> bool:
    """Whether this model's architecture is served: that of the published checkpoints, text attended to."""
    transformer: Any = lm.transformer
    return bool(
        lm.fuser.fuse2cond["cross"]
        and not any(lm.fuser.fuse2cond[way] for way in ("prepend", "sum", "input_interpolate"))
        and transformer.positional_embedding == "sin"
        and not lm.fuser.cross_attention_pos_emb
        and all(
            isinstance(layer.self_attn, PreallocatedSelfAttention)
            and isinstance(layer.cross_attention, KeptCrossAttention)
            and layer.norm_first
            for layer in transformer.layers
        )
    )


@torch.no_grad()
def decode_static(
    lm: LMModel,
    conditions: Conditions,
    noise: RowNoise,
    n_frames: int,
    sampling: Sampling,
    edits: Tables,
    prefix: Int[Tensor, "#row codebook given"] | None = None,
    on_step: Callable[[int], None] | None = None,
    bucket: int = 0,
) -> Int[Tensor, "row codebook frame"]:
    """Generate ``n_frames`` frames of tokens for every row; as `mech_music.models.musicgen.decode.decode`.

    ``edits``: what is done at hooks of the stream. ``bucket``: steps between lengths of the cache that attention reads;
    0 for `BUCKET` on a GPU and 1 elsewhere. UserError for an architecture that is not served (see `can_decode`).
    """
    if not can_decode(lm):
        raise UserError("engine.decode=static serves MusicGen with text attended to (not melody): use traced")
    (text,) = (conditions[name][0] for name in lm.fuser.fuse2cond["cross"])
    given = torch.full((len(text) // 2, lm.n_q, n_frames), -1, dtype=torch.long, device=text.device)
    if prefix is not None:
        given[..., : prefix.shape[-1]] = prefix
    pattern = lm.pattern_provider.get_pattern(n_frames)
    sequence, _, _ = pattern.build_pattern_sequence(given, lm.special_token_id)
    loop = _Loop(lm, text, sequence, sampling, edits)
    on_gpu = text.device.type == "cuda"
    bucket = bucket or (BUCKET if on_gpu else 1)
    graph: torch.cuda.CUDAGraph | None = None
    for step in range(loop.n_steps):
        loop.noise.copy_(noise(step))
        length = min((step // bucket + 1) * bucket, loop.n_steps)
        if on_gpu:
            if step % bucket == 0:
                graph = _recorded(loop, length)
            assert graph is not None
            graph.replay()
        else:
            loop.step(length)
        if on_step is not None:
            on_step(step)
    return to_frames(lm, loop.sequence, n_frames).masked_fill(~loop.finite[:, None, None], -1)


def _recorded(loop: _Loop, length: int) -> torch.cuda.CUDAGraph:
    """A step as a graph. What running it beforehand writes is put back."""
    state = [(tensor, tensor.clone()) for tensor in (loop.at, loop.sequence, loop.finite)]
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(_WARM_UPS):
            loop.step(length)
            _put_back(state)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loop.step(length)
    _put_back(state)
    return graph


def _put_back(state: Sequence[tuple[Tensor, Tensor]]) -> None:
    for tensor, before in state:
        tensor.copy_(before)


class _Loop:
    """The state of one generation, in tensors that stay where they are, and its step."""

    def __init__(
        self,
        lm: LMModel,
        text: Float[Tensor, "half_row token d_model"],
        sequence: Int[Tensor, "row codebook position"],
        sampling: Sampling,
        edits: Tables,
    ) -> None:
        self._lm, self._sampling, self._edits, self.sequence = lm, sampling, edits, sequence
        self._layers: list[Any] = list(lm.transformer.layers)  # type: ignore[union-attr,arg-type]
        device, rows = text.device, len(sequence)
        self.n_steps = sequence.shape[-1] - 1
        self.at = torch.zeros(1, dtype=torch.long, device=device)
        self.noise = torch.empty(rows, lm.n_q, lm.card, device=device)
        self.finite: Bool[Tensor, " row"] = torch.ones(rows, dtype=torch.bool, device=device)
        self._steps = torch.arange(self.n_steps, device=device)
        transformer: Any = lm.transformer
        embedding: Any = lm.emb[0]
        places = self._steps.view(1, -1, 1)
        width, dtype = embedding.weight.shape[1], embedding.weight.dtype
        positions = create_sin_embedding(places, width, max_period=transformer.max_period, dtype=dtype)
        self._positions = transformer.positional_scale * positions
        self._text = [self._projected(layer.cross_attention, text) for layer in self._layers]
        # Of one layer, to know what a projection gives under autocast.
        like = self._text[0][0]
        shape = (len(text), like.shape[1], self.n_steps, like.shape[-1])
        self._cache = [(like.new_zeros(shape), like.new_zeros(shape)) for _ in self._layers]

    @staticmethod
    def _projected(attention: Any, text: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = attention.project(text, 1, 3).chunk(2, -1)
        return attention.heads(keys).contiguous(), attention.heads(values).contiguous()

    def step(self, length: int) -> None:
        """One step of every row. Attention reads the first ``length`` cached positions; those to come are masked."""
        lm: Any = self._lm
        tokens = self.sequence.index_select(2, self.at)
        both = torch.cat([tokens, tokens])
        x = sum(lm.emb[codebook](both[:, codebook]) for codebook in range(lm.n_q))
        x = x + self._positions.index_select(1, self.at)
        for number, layer in enumerate(self._layers):
            x = self._layer(number, layer, x, length)
        if lm.out_norm:
            x = lm.out_norm(x)
        logits = guided(torch.stack([head(x)[:, -1] for head in lm.linears], dim=1), self._sampling.guidance)
        self.finite &= logits.isfinite().flatten(1).all(1)
        token = sample_top_k(logits, self.noise, self._sampling)
        following = self.at + 1
        known = self.sequence.index_select(2, following)[..., 0]
        self.sequence.index_copy_(2, following, torch.where(known < 0, token, known)[..., None])
        self.at += 1

    def _layer(self, number: int, layer: Any, x: Tensor, length: int) -> Tensor:
        x = self._edited(number, "resid_pre", x)
        x = x + layer.layer_scale_1(
            self._edited(number, "attn_out", self._self_attention(number, layer, layer.norm1(x), length))
        )
        attention, (keys, values) = layer.cross_attention, self._text[number]
        query = attention.heads(attention.project(layer.norm_cross(x), 0, 1))
        found = attention.out_proj(attend(query, keys, values).transpose(1, 2).flatten(2))
        x = x + layer.layer_scale_cross(self._edited(number, "cross_attn_out", found))
        found = layer.linear2(layer.activation(layer.linear1(layer.norm2(x))))
        x = x + layer.layer_scale_2(self._edited(number, "mlp_out", found))
        return self._edited(number, "resid_post", x)

    def _self_attention(self, number: int, layer: Any, x: Tensor, length: int) -> Tensor:
        attention, cache = layer.self_attn, self._cache[number]
        query, *new = (attention.heads(part) for part in attention.project(x, 0, 3).chunk(3, -1))
        for kept, part in zip(cache, new, strict=True):
            kept.index_copy_(2, self.at, part)
        keys, values = (kept[:, :, :length] for kept in cache)
        allowed = self._steps[:length] <= self.at
        return attention.out_proj(attend(query, keys, values, allowed).transpose(1, 2).flatten(2))

    def _edited(self, number: int, point: str, value: Tensor) -> Tensor:
        for edit in self._edits.get(Hook(number, point), ()):
            value = edit(self.at, value)
        return value
