"""What the engine, lenses and listeners ask of a generative model; whatever has it runs under all of them.

MusicGen is `mech_music.models.musicgen.model.HookedMusicGen`. A model without classifier-free guidance has one half
instead of two; one without a codec renders its tokens in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypedDict, Unpack, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook
from mech_music.models.sampling import RowNoise, Sampling
from mech_music.models.unembedding import Unembedding

MIN_PASS = 8
"""Rows of the smallest pass: smaller matrix products take another path in the BLAS, with other last bits (on some
processors)."""
DURATION = 4.0
"""Seconds, where a caller does not say."""
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
"""A hook's name, names, a predicate on names, or None for every hook."""
Visit = Callable[[Hook, int, Tensor], Tensor | None]
"""``fn(hook, step, value)``: what it returns (unless None) takes the value's place. Shapes: `Layout`."""
Tables = Mapping[Hook, Sequence[Callable[[Int[Tensor, "1"], Tensor], Tensor]]]
"""By hook: what to do to its value, given the step as a tensor (`mech_music.edits.dense`)."""


class Generation(TypedDict, total=False):
    """How a generation is made.

    ``seeds``: one for all rows or one each (0); a row's noise depends on its (prompt, seed) only. ``duration``:
    seconds (4). ``sampling``: top-k, temperature, guidance. ``forced``: tokens to read along instead of sampling.
    ``prefix``: tokens of the first frames, which the generation continues; −1 where a row's own are fewer.
    ``on_step``: called after each step. ``exit_layer``: the last layer that is computed; its output goes through the
    final norm and heads (the free-running DecoderLens). ``noise``: that of `Generator.noise`, where somebody else
    draws from it as well.
    """

    seeds: Sequence[int] | int
    duration: float
    sampling: Sampling | None
    forced: Int[Tensor, "#row codebook frame"] | None
    prefix: Int[Tensor, "#row codebook given"] | None
    on_step: Callable[[int], None] | None
    exit_layer: int | None
    noise: RowNoise | None


@runtime_checkable
class Generator(Protocol):
    """A model that generates rows of tokens step by step, and whose activations have names."""

    @property
    def fingerprint(self) -> str:
        """What identifies the weights, for instance their SHA-256; it decides what a stored clip is."""
        ...

    @property
    def n_layers(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @property
    def n_heads(self) -> int:
        """Attention heads of a layer; ``d_model / n_heads`` numbers each."""
        ...

    @property
    def n_codebooks(self) -> int: ...
    @property
    def card(self) -> int:
        """Tokens that a codebook has, numbered from 0."""
        ...

    @property
    def special_token(self) -> int:
        """What stands in a sequence where there is no token of the music (yet)."""
        ...

    @property
    def halves(self) -> int:
        """2 with classifier-free guidance (conditional half first), else 1."""
        ...

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def frame_rate(self) -> float:
        """Frames of tokens a second."""
        ...

    @property
    def sample_rate(self) -> int:
        """Of rendered audio, Hz."""
        ...

    @property
    def points(self) -> tuple[str, ...]:
        """The hook points of every layer, in forward order."""
        ...

    @property
    def hook_names(self) -> tuple[str, ...]: ...
    @property
    def probe_prompt(self) -> str:
        """A prompt of usual length, to measure with."""
        ...

    def select_hooks(self, names: NamesFilter) -> tuple[Hook, ...]:
        """In forward order. UserError for a hook that this model does not have."""
        ...

    def n_frames(self, duration: float) -> int:
        """Frames in ``duration`` seconds. UserError if that is no time, or less than one frame."""
        ...

    def n_steps(self, duration: float) -> int:
        """Autoregressive steps for ``duration`` seconds."""
        ...

    def group_of(self, prompt: str) -> Hashable:
        """Prompts of one group may share a pass without any of them hearing of it."""
        ...

    def noise(self, prompts: Sequence[str], seeds: Sequence[int] | int, keep: bool = False) -> RowNoise:
        """The sampling noise of rows, to be drawn step by step; ``keep`` it to generate with it several times."""
        ...

    def visit(
        self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        """One generation in which ``fn`` sees every chosen hook (in forward order) at every step.

        A row with a non-finite logit at any step is returned as −1 throughout.
        """
        ...

    def unembedding(self, dtype: torch.dtype | None = None) -> Unembedding: ...
    def sampled_positions(self, n_frames: int) -> Bool[Tensor, "codebook step"]:
        """Which codebooks get a token of the music at which step; on the CPU."""
        ...

    def to_frames(
        self, sequence: Int[Tensor, "row codebook position"], n_frames: int
    ) -> Int[Tensor, "row codebook frame"]:
        """Tokens in the order of the music, from that of the steps (after the start, which is position 0)."""
        ...

    def forced_logits(
        self, prompts: Sequence[str] | str, tokens: Int[Tensor, "row codebook frame"], sampling: Sampling | None = None
    ) -> Float[Tensor, "row codebook frame card"]:
        """Teacher-forced: logits of the distributions that each token is sampled from, given those before it.

        After guidance and temperature, before top-k.
        """
        ...

    def to_audio(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row sample"]:
        """Rendered at `sample_rate`, mono."""
        ...

    def to_tokens(self, audio: Float[Tensor, "row sample"], sample_rate: int) -> Int[Tensor, "row codebook frame"]:
        """Encoded. UserError where tokens cannot be made from audio."""
        ...

    def row_bytes(self, duration: float) -> int:
        """What one row of a pass holds at least (keys and values)."""
        ...

    def pending_bytes(self) -> int:
        """Memory that is taken when the model is first used, beside what passes hold."""
        ...


@runtime_checkable
class Static(Protocol):
    """A generator with a second way to decode, of fixed shapes, for edits that are tables."""

    @property
    def decodes_static(self) -> bool:
        """Whether this model's architecture is served."""
        ...

    def generate_static(
        self, prompts: Sequence[str] | str, edits: Tables, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]:
        """The tokens that `Generator.visit` gives with these edits, in float32 on a CPU to the last one."""
        ...


def listed(prompts: Sequence[str] | str) -> list[str]:
    """A string is one prompt. UserError if there is none."""
    found = [prompts] if isinstance(prompts, str) else list(prompts)
    if not found:
        raise UserError("no prompts: give at least one")
    return found


def one_each(seeds: Sequence[int] | int, n_rows: int) -> list[int]:
    """A seed for each row. UserError if there are more or fewer."""
    found = [seeds] * n_rows if isinstance(seeds, int) else list(seeds)
    if len(found) != n_rows:
        raise UserError(f"{len(found)} seeds for {n_rows} prompts: give one seed, or one for each prompt")
    return found


def check_tokens(generator: Generator, what: str, tokens: Tensor | None, n_rows: int, n_frames: int) -> None:
    """UserError for tokens that are not this model's, or not of these rows and frames (a prefix may have fewer)."""
    if tokens is None:
        return
    fits = tokens.ndim == 3 and tokens.shape[0] in (1, n_rows) and tokens.shape[1] == generator.n_codebooks
    if not fits or not (tokens.shape[2] == n_frames or (what == "prefix" and tokens.shape[2] < n_frames)):
        frames = f"at most {n_frames}" if what == "prefix" else f"{n_frames}"
        raise UserError(
            f"{what} tokens are {list(tokens.shape)}: expected [{n_rows} rows (or 1), {generator.n_codebooks} "
            f"codebooks, {frames} frames]"
        )
    least = -1 if what == "prefix" else 0
    if tokens.numel() and not least <= int(tokens.min()) <= int(tokens.max()) < generator.card:
        raise UserError(
            f"{what} tokens go from {int(tokens.min())} to {int(tokens.max())}: this model's go from 0 to "
            f"{generator.card - 1}"
        )


def check_audio(audio: Tensor, sample_rate: int) -> None:
    """UserError for what is no audio ``[row, sample]``."""
    if audio.ndim != 2 or not audio.numel() or sample_rate <= 0:
        raise UserError(
            f"audio of shape {list(audio.shape)} at {sample_rate} Hz: expected [row, sample], of one sample or more"
        )
    if not audio.isfinite().all():
        raise UserError("audio with samples that are not finite cannot be encoded")
