"""MusicGen with named hooks: audiocraft's own modules, traced by nnsight."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, Unpack, cast

import torch
from jaxtyping import Bool, Float, Int
from nnsight import NNsight
from nnsight.intervention.envoy import traceable
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models import protocol
from mech_music.models.hooked import HookedModel
from mech_music.models.hooks import CROSS_POINTS, POINTS, Hook
from mech_music.models.musicgen import delay
from mech_music.models.musicgen.attention import has_head_hooks, keep_attention_caches, offering
from mech_music.models.musicgen.decode import Conditions, decode, forced_logits, prefix_length
from mech_music.models.musicgen.footprint import Footprint
from mech_music.models.musicgen.imports import audiocraft_imports
from mech_music.models.musicgen.linear import arrange, make_arrangeable, release, still_to_arrange
from mech_music.models.musicgen.selfcheck import check_pass, check_tree, plain_logits, some_tokens
from mech_music.models.musicgen.sites import read, write
from mech_music.models.musicgen.static import can_decode, decode_static
from mech_music.models.musicgen.text import PROMPT, Text
from mech_music.models.protocol import DURATION, Generation, Tables, Visit
from mech_music.models.sampling import RowNoise, Sampling
from mech_music.models.unembedding import Unembedding

with audiocraft_imports():
    from audiocraft.data.audio_utils import convert_audio
    from audiocraft.models.musicgen import MusicGen


class HookedMusicGen(NNsight, HookedModel):
    """A MusicGen as a `mech_music.models.protocol.Generator`: every branch output and every head has a name.

    Trace it with nnsight (``with model.generate(prompts) as tracer: …``), or use the two
    TransformerLens-style methods `run_with_cache` and `run_with_hooks`.

    Args:
        musicgen: audiocraft's model, as its own loader returns it.
        fingerprint: what identifies the weights (see `mech_music.models.musicgen.loading`).
    """

    def __init__(self, musicgen: MusicGen, fingerprint: str = "") -> None:
        keep_attention_caches(musicgen.lm)
        make_arrangeable(musicgen.lm)
        super().__init__(musicgen.lm)
        self.musicgen, self._text = musicgen, Text(musicgen)
        self.fingerprint = fingerprint
        self.check()

    # -- shape ---------------------------------------------------------------------------------

    @property
    def n_layers(self) -> int:
        return len(self.musicgen.lm.transformer.layers)

    @property
    def d_model(self) -> int:
        return self.musicgen.lm.dim

    @property
    def n_heads(self) -> int:
        layer: Any = self.musicgen.lm.transformer.layers[0]
        return layer.self_attn.num_heads

    @property
    def n_codebooks(self) -> int:
        return self.musicgen.lm.n_q

    @property
    def card(self) -> int:
        return self.musicgen.lm.card

    @property
    def special_token(self) -> int:
        return self.musicgen.lm.special_token_id

    @property
    def halves(self) -> int:
        """Of classifier-free guidance."""
        return 2

    @property
    def probe_prompt(self) -> str:
        return PROMPT

    @property
    def sample_rate(self) -> int:
        return self.musicgen.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.musicgen.frame_rate

    @property
    def device(self) -> torch.device:
        return next(self.musicgen.lm.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's number format (in float16, embeddings and heads stay in float32)."""
        return next(self.musicgen.lm.transformer.parameters()).dtype

    @property
    def cross_attention(self) -> bool:
        """Whether the text is attended to; in melody it stands before the music instead."""
        return bool(self.musicgen.lm.fuser.fuse2cond["cross"])

    @property
    def points(self) -> tuple[str, ...]:
        return self._points

    @cached_property
    def _points(self) -> tuple[str, ...]:
        lacking = set() if self.cross_attention else set(CROSS_POINTS)
        if not has_head_hooks(self.musicgen.lm):
            lacking |= {point for point in POINTS if "." in point}
        return tuple(point for point in POINTS if point not in lacking)

    def n_steps(self, duration: float) -> int:
        """Autoregressive steps for ``duration`` seconds (frames + the delay of the last codebook)."""
        return delay.n_steps(self.musicgen.lm, self.n_frames(duration))

    def row_bytes(self, duration: float) -> int:
        """Keys and values of one row of a pass, in both guidance halves."""
        shape = Footprint(self.n_layers, self.d_model, melody=self.n_melody)
        return shape.row_bytes(self.n_steps(duration), str(self.dtype).removeprefix("torch."))

    def pending_bytes(self) -> int:
        """Of the copies of wide weights that are made when a layer is first used (see `linear`)."""
        return still_to_arrange(self.musicgen.lm)

    # -- text ----------------------------------------------------------------------------------

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """Text conditions of the guidance-doubled batch: ``[half·row, token, d_model]`` and mask.

        audiocraft's cross-attention sees padding as (zero) keys, so a row's result depends on the
        padded length: batch prompts of one `prompt_length` together to get each row's own result.
        """
        with self._autocast():
            return self._text.conditions(prompts)

    def _autocast(self) -> AbstractContextManager[object]:
        """What audiocraft chose, anew each time: its own object, entered within itself, is never left."""
        chosen = self.musicgen.autocast.autocast
        return nullcontext() if chosen is None else torch.autocast(chosen.device, dtype=chosen.fast_dtype)

    def prompt_length(self, prompt: str) -> int:
        """Text tokens of ``prompt``."""
        return self._text.length(prompt)

    def group_of(self, prompt: str) -> Hashable:
        """Rows whose prompts have one length make one pass."""
        return self.prompt_length(prompt)

    @cached_property
    def n_melody(self) -> int:
        """Positions that stand before the text of every prompt: melody's, which are there without a melody too."""
        if self.cross_attention:
            return 0
        return prefix_length(self.musicgen.lm, self.conditions([PROMPT])) - self.prompt_length(PROMPT)

    # -- generation ----------------------------------------------------------------------------

    @traceable
    def generate(
        self,
        prompts: Sequence[str] | str,
        seeds: Sequence[int] | int = 0,
        duration: float = DURATION,
        sampling: Sampling | None = None,
        forced: Int[Tensor, "#row codebook frame"] | None = None,
        on_step: Callable[[int], None] | None = None,
        exit_layer: int | None = None,
        noise: RowNoise | None = None,
        prefix: Int[Tensor, "#row codebook given"] | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        """Tokens for ``prompts``; what the other arguments say: `mech_music.models.protocol.Generation`.

        A string is one prompt. UserError, one line, for arguments that do not fit each other.
        """
        prompts, n_frames = protocol.listed(prompts), self.n_frames(duration)
        for what, tokens in (("forced", forced), ("prefix", prefix)):
            protocol.check_tokens(self, what, tokens, len(prompts), n_frames)
        noise = noise or self.noise(prompts, seeds)
        conditions = self.conditions(prompts)
        with self._autocast(), self._up_to(exit_layer):
            lm, sampling = self.musicgen.lm, sampling or Sampling()
            return decode(lm, conditions, noise, n_frames, sampling, forced, on_step, prefix)

    @property
    def decodes_static(self) -> bool:
        return can_decode(self.musicgen.lm)

    def generate_static(
        self, prompts: Sequence[str] | str, edits: Tables, bucket: int = 0, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        """As `generate` under affine edits, by steps of fixed shape: see `mech_music.models.musicgen.static`."""
        prompts, n_frames = protocol.listed(prompts), self.n_frames(how.get("duration", DURATION))
        if unserved := [name for name in ("forced", "exit_layer") if how.get(name) is not None]:
            raise UserError(f"generate_static takes no {unserved[0]}: use generate")
        prefix = how.get("prefix")
        protocol.check_tokens(self, "prefix", prefix, len(prompts), n_frames)
        noise = how.get("noise") or self.noise(prompts, how.get("seeds", 0))
        sampling, on_step = how.get("sampling") or Sampling(), how.get("on_step")
        conditions, lm = self.conditions(prompts), self.musicgen.lm
        with self._autocast():
            return decode_static(lm, conditions, noise, n_frames, sampling, edits, prefix, on_step, bucket)

    def noise(self, prompts: Sequence[str], seeds: Sequence[int] | int, keep: bool = False) -> RowNoise:
        """The sampling noise of rows, to be drawn step by step; ``keep`` it to generate with it several times."""
        seeds = protocol.one_each(seeds, len(prompts))
        return RowNoise(prompts, seeds, (self.n_codebooks, self.card), self.device, keep)

    @contextmanager
    def _up_to(self, layer: int | None) -> Iterator[None]:
        """Within, the transformer ends after ``layer``."""
        transformer, layers = self.musicgen.lm.transformer, self.musicgen.lm.transformer.layers
        if layer is not None and not 0 <= layer < len(layers):
            raise UserError(f"exit layer {layer} does not exist: this model has layers 0 to {len(layers) - 1}")
        try:
            transformer.layers = layers if layer is None else layers[: layer + 1]
            yield
        finally:
            transformer.layers = layers

    def _batch_size(self, *inputs: Any, **_: object) -> int:
        return len(protocol.listed(inputs[0])) if inputs else 0

    def visit(
        self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        """One traced generation in which ``fn(hook, step, value)`` sees every chosen hook at every step.

        What ``fn`` returns (unless None) takes the value's place; the generation goes on from it. Where the text
        stands before the music, the first step runs through its positions as well; ``fn`` sees the last one only.
        """
        if not hooks:
            return self.generate(prompts, **how)
        with offering(self.musicgen.lm, hooks):
            return self._visit(prompts, hooks, fn, how)

    def _visit(self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, how: Generation) -> Tensor:
        steps, layers = self.n_steps(how.get("duration", DURATION)), self.transformer.layers
        with self.generate(prompts, **how) as tracer:  # type: ignore[arg-type]
            for step in tracer.iter[:steps]:
                for hook in hooks:
                    value = read(hook, layers)
                    edited = fn(hook, step, value if hook.has_all_positions else value[:, -1:])
                    if edited is not None:
                        whole = edited.shape == value.shape
                        write(hook, layers, edited if whole else torch.cat([value[:, :-1], edited], dim=1))
            tokens = tracer.result.save()
        return tokens

    # -- the end: logits, tokens, sound --------------------------------------------------------

    def unembedding(self, dtype: torch.dtype | None = None) -> Unembedding:
        """The final norm and all heads; ``dtype``: of the heads' products (default: the weights' own)."""
        lm: Any = self.musicgen.lm
        return Unembedding(lm.out_norm, list(lm.linears), dtype)

    def sampled_positions(self, n_frames: int) -> Bool[Tensor, "codebook step"]:
        """Which codebooks get a token of the music at which step; the rest is `special_token`."""
        return delay.sampled_positions(self.musicgen.lm, n_frames)

    def to_frames(
        self, sequence: Int[Tensor, "row codebook position"], n_frames: int
    ) -> Int[Tensor, "row codebook frame"]:
        """Tokens in the order of the music, from that of the delay pattern."""
        return delay.to_frames(self.musicgen.lm, sequence, n_frames)

    def forced_logits(
        self, prompts: Sequence[str] | str, tokens: Int[Tensor, "row codebook frame"], sampling: Sampling | None = None
    ) -> Float[Tensor, "row codebook frame card"]:
        """Logits of the distributions that ``tokens`` are sampled from, before top-k; all steps at once."""
        prompts, sampling = protocol.listed(prompts), sampling or Sampling()
        protocol.check_tokens(self, "scored", tokens, len(prompts), tokens.shape[-1])
        conditions = self.conditions(prompts)
        with self._autocast():
            given = tokens.to(self.device).expand(len(prompts), -1, -1)
            return forced_logits(self.musicgen.lm, conditions, given, sampling.guidance) / sampling.temperature

    @torch.no_grad()
    def to_audio(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row sample"]:
        """Decode tokens to mono audio at `sample_rate`."""
        audio = cast(Tensor, self.musicgen.compression_model.decode(tokens.to(self.device), None))
        return audio.float().mean(dim=1)

    @torch.no_grad()
    def to_tokens(self, audio: Float[Tensor, "row sample"], sample_rate: int) -> Int[Tensor, "row codebook frame"]:
        """Encode mono audio, resampled to the codec's rate. UserError for other shapes and non-finite samples."""
        protocol.check_audio(audio, sample_rate)
        codec = self.musicgen.compression_model
        wave = convert_audio(audio.to(self.device).float()[:, None], sample_rate, codec.sample_rate, codec.channels)
        return codec.encode(wave)[0]

    # -- self-check ----------------------------------------------------------------------------

    def check(self) -> None:
        """Do the module tree, the hook names and our short ways mean what they should? UserError if not.

        See `mech_music.models.musicgen.selfcheck`; a few frames of one prompt.
        """
        lm = self.musicgen.lm
        check_tree(self)
        release(lm)
        tokens = some_tokens(self)
        plain = plain_logits(self, tokens)
        arrange(lm.transformer.layers[0])
        check_pass(self, tokens, plain)
        arrange(lm)
