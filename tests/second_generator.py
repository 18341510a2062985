"""A generator that is unlike MusicGen: no guidance, no cross-attention, no codec, no nnsight, one codebook.

The prompt is a vector that is added at every step, so prompts of all lengths share a pass. Hooks are PyTorch's own
forward hooks on identity modules; a token is rendered as a sine of its own pitch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mech_music.base.errors import UserError
from mech_music.models import protocol
from mech_music.models.hooked import HookedModel
from mech_music.models.hooks import CROSS_POINTS, IN_ATTENTION, POINTS, Hook
from mech_music.models.protocol import DURATION, Generation, Visit
from mech_music.models.sampling import RowNoise, Sampling, sample_top_k
from mech_music.models.unembedding import Unembedding

_LETTERS = 128


class Layer(nn.Module):
    """A pre-norm decoder layer over one step at a time."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width, bias=False)
        self.qkv.weight.data *= 8
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.points = nn.ModuleDict({_module(point): nn.Identity() for point in POINTS if point not in CROSS_POINTS})

    def at(self, point: str, value: Tensor) -> Tensor:
        return self.points[_module(point)](value)

    def forward(self, x: Float[Tensor, "row 1 width"], cache: list[tuple[Tensor, Tensor]]) -> Tensor:
        x = self.at("resid_pre", x)
        x = self.at("resid_mid", x + self.at("attn_out", self._attend(self.norm1(x), cache)))
        return self.at("resid_post", x + self.at("mlp_out", self.down(torch.relu(self.up(self.norm2(x))))))

    def _attend(self, x: Tensor, cache: list[tuple[Tensor, Tensor]]) -> Tensor:
        parts = zip(IN_ATTENTION, self.qkv(x).chunk(3, -1), strict=False)
        q, k, v = (self.at(f"attn.{name}", part)[:, 0].unflatten(-1, (self.heads, -1)) for name, part in parts)
        cache.append((k, v))
        keys, values = (torch.stack(kept, dim=2) for kept in zip(*cache, strict=True))
        scores = torch.einsum("bhd,bhkd->bhk", q, keys) / math.sqrt(q.shape[-1])
        pattern = self.at("attn.pattern", scores.softmax(-1))
        return self.out(self.at("attn.z", torch.einsum("bhk,bhkd->bhd", pattern, values).flatten(1)[:, None]))


def _module(point: str) -> str:
    return point.replace(".", "_")


class SecondGenerator(HookedModel):
    """Untrained; its weights are a function of ``seed``. Implements `mech_music.models.protocol.Generator`."""

    halves, d_model, n_heads, n_codebooks, card, special_token = 1, 24, 3, 1, 32, 32
    frame_rate, sample_rate, dtype, device = 20.0, 4000, torch.float32, torch.device("cpu")
    probe_prompt = "A tune."
    points = tuple(point for point in POINTS if point not in CROSS_POINTS)

    def __init__(self, n_layers: int = 3, seed: int = 0) -> None:
        self.fingerprint = f"second generator, {n_layers} layers, seed {seed}"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.tokens, self.letters = nn.Embedding(self.card + 1, self.d_model), nn.Embedding(_LETTERS, self.d_model)
            self.layers = nn.ModuleList(Layer(self.d_model, self.n_heads) for _ in range(n_layers)).requires_grad_(
                False
            )
            self.norm, self.head = nn.LayerNorm(self.d_model), nn.Linear(self.d_model, self.card)
            self.head.weight.data *= 8  # so that edits change tokens

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    def n_steps(self, duration: float) -> int:
        return self.n_frames(duration)

    def group_of(self, prompt: str) -> Hashable:
        return None

    def noise(self, prompts: Sequence[str], seeds: Sequence[int] | int, keep: bool = False) -> RowNoise:
        return RowNoise(prompts, protocol.one_each(seeds, len(prompts)), (1, self.card), self.device, keep)

    def visit(
        self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        step = [0]
        with ExitStack() as stack:
            for hook in hooks:

                def offer(_module: nn.Module, _inputs: object, value: Tensor, hook: Hook = hook) -> Tensor | None:
                    edited = fn(hook, step[0], value)
                    if edited is not None:
                        hook.must_be_editable()
                    return edited

                layer = self.layers[hook.layer]
                assert isinstance(layer, Layer)
                point = layer.points[_module(hook.point)]
                stack.callback(point.register_forward_hook(offer).remove)
            return self._generate(protocol.listed(prompts), step, lambda _: None, **how)

    @torch.no_grad()
    def _generate(
        self,
        prompts: Sequence[str],
        now: list[int],
        see_logits: Callable[[Tensor], None],
        seeds: Sequence[int] | int = 0,
        duration: float = DURATION,
        sampling: Sampling | None = None,
        forced: Tensor | None = None,
        prefix: Tensor | None = None,
        on_step: Callable[[int], None] | None = None,
        exit_layer: int | None = None,
        noise: RowNoise | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        n_frames, rows = self.n_frames(duration), len(prompts)
        given = torch.full((rows, 1, n_frames), -1)
        for what, known in (("prefix", prefix), ("forced", forced)):
            protocol.check_tokens(self, what, known, rows, n_frames)
            if known is not None:
                given[..., : known.shape[-1]] = known
        if exit_layer is not None and not 0 <= exit_layer < self.n_layers:
            raise UserError(f"exit layer {exit_layer} does not exist: this model has layers 0 to {self.n_layers - 1}")
        noise, text = noise or self.noise(prompts, seeds), self._text(prompts)
        layers = list(self.layers)[: None if exit_layer is None else exit_layer + 1]
        caches: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]
        token, finite = torch.full((rows,), self.special_token), torch.ones(rows, dtype=torch.bool)
        for step in range(n_frames):
            now[0] = step
            x = (self.tokens(token) + text + math.sin(step))[:, None]
            for layer, cache in zip(layers, caches, strict=True):
                x = layer(x, cache)
            logits = self.head(self.norm(x))
            see_logits(logits)
            finite &= logits.isfinite().flatten(1).all(1)
            known = given[..., step]
            given[..., step] = torch.where(known < 0, sample_top_k(logits, noise(step), sampling or Sampling()), known)
            token = given[:, 0, step]
            if on_step is not None:
                on_step(step)
        return given.masked_fill(~finite[:, None, None], -1)

    def _text(self, prompts: Sequence[str]) -> Float[Tensor, "row d_model"]:
        return torch.stack(
            [self.letters(torch.tensor([ord(c) % _LETTERS for c in text or " "])).mean(0) for text in prompts]
        )

    def unembedding(self, dtype: torch.dtype | None = None) -> Unembedding:
        return Unembedding(self.norm, [self.head], dtype)

    def sampled_positions(self, n_frames: int) -> Bool[Tensor, "codebook step"]:
        return torch.ones(1, n_frames, dtype=torch.bool)

    def to_frames(self, sequence: Int[Tensor, "row codebook position"], n_frames: int) -> Tensor:
        return sequence[..., 1 : n_frames + 1]

    def forced_logits(
        self, prompts: Sequence[str] | str, tokens: Int[Tensor, "row codebook frame"], sampling: Sampling | None = None
    ) -> Float[Tensor, "row codebook frame card"]:
        seen: list[Tensor] = []
        duration = (tokens.shape[-1] + 0.5) / self.frame_rate
        self._generate(protocol.listed(prompts), [0], seen.append, duration=duration, forced=tokens)
        return torch.stack(seen, dim=2) / (sampling or Sampling()).temperature

    def to_audio(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row sample"]:
        return self._tones()[tokens[:, 0]].flatten(1)

    def to_tokens(self, audio: Float[Tensor, "row sample"], sample_rate: int) -> Int[Tensor, "row codebook frame"]:
        protocol.check_audio(audio, sample_rate)
        if sample_rate != self.sample_rate:
            raise UserError(f"audio at {sample_rate} Hz: this model's tokens are made from {self.sample_rate} Hz")
        tones = self._tones()
        frames = audio[:, : audio.shape[1] - audio.shape[1] % tones.shape[1]].unflatten(1, (-1, tones.shape[1]))
        return (frames @ tones.T).argmax(-1)[:, None]

    def _tones(self) -> Float[Tensor, "card sample"]:
        time = torch.arange(int(self.sample_rate / self.frame_rate)) / self.sample_rate
        pitches = self.frame_rate * (4 + torch.arange(self.card))
        return torch.sin(2 * math.pi * pitches[:, None] * time)

    def row_bytes(self, duration: float) -> int:
        return self.n_layers * 2 * self.n_steps(duration) * self.d_model * 4

    def pending_bytes(self) -> int:
        return 0
