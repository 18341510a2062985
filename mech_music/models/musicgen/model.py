"""MusicGen with named hooks: audiocraft's own modules, traced by nnsight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from nnsight import NNsight
from nnsight.intervention.envoy import traceable
from torch import Tensor

from mech_music.errors import UserError
from mech_music.models.hooks import CROSS_POINTS, POINTS, Hook, all_hooks
from mech_music.models.musicgen.attention import keep_attention_caches
from mech_music.models.musicgen.decode import decode, prefix_length
from mech_music.models.musicgen.delay import n_steps
from mech_music.models.musicgen.linear import arrange, make_arrangeable, release
from mech_music.models.musicgen.selfcheck import check_pass, check_tree, plain_logits, some_tokens
from mech_music.models.quiet import quiet_imports
from mech_music.models.sampling import RowNoise, Sampling

with quiet_imports():
    from audiocraft.models.musicgen import MusicGen
    from audiocraft.modules.conditioners import ClassifierFreeGuidanceDropout

NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
HookFn = Callable[[Float[Tensor, "half row d_model"], "HookPoint"], Tensor | None]


class HookPoint:
    """What a hook function is told about the value it gets: the hook's name and the step."""

    def __init__(self, name: str, step: int) -> None:
        self.name, self.step = name, step


class HookedMusicGen(NNsight):
    """A MusicGen whose every branch output has a name.

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
        self.musicgen = musicgen
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

    @cached_property
    def points(self) -> tuple[str, ...]:
        """The hook points of every layer, in forward order."""
        return tuple(point for point in POINTS if self.cross_attention or point not in CROSS_POINTS)

    @cached_property
    def hook_names(self) -> tuple[str, ...]:
        """Every hook of this model, in forward order."""
        return tuple(hook.name for hook in all_hooks(self.n_layers, self.points))

    def n_frames(self, duration: float) -> int:
        """Codec frames in ``duration`` seconds, as audiocraft counts them."""
        return int(duration * self.frame_rate)

    def n_steps(self, duration: float) -> int:
        """Autoregressive steps for ``duration`` seconds (frames + the delay of the last codebook)."""
        return n_steps(self.musicgen.lm, self.n_frames(duration))

    # -- generation ----------------------------------------------------------------------------

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
        """Text conditions of the guidance-doubled batch: ``[half·row, token, d_model]`` and mask.

        audiocraft's cross-attention sees padding as (zero) keys, so a row's result depends on the
        padded length: batch prompts of one `prompt_length` together to get each row's own result.
        """
        attributes, _ = self.musicgen._prepare_tokens_and_attributes(list(prompts), None)
        null = ClassifierFreeGuidanceDropout(p=1.0)(attributes)
        provider = self.musicgen.lm.condition_provider
        with self._autocast():
            return provider(provider.tokenize(attributes + null))

    def _autocast(self) -> AbstractContextManager[object]:
        """What audiocraft chose, anew each time: its own object, entered within itself, is never left."""
        chosen = self.musicgen.autocast.autocast
        return nullcontext() if chosen is None else torch.autocast(chosen.device, dtype=chosen.fast_dtype)

    def prompt_length(self, prompt: str) -> int:
        """Text tokens of ``prompt`` (rows of one length make one pass)."""
        conditioner: Any = self.musicgen.lm.condition_provider.conditioners["description"]
        return int(conditioner.tokenize([prompt])["input_ids"].shape[-1])

    @cached_property
    def n_melody(self) -> int:
        """Positions that stand before the text of every prompt: melody's, which are there without a melody too."""
        if self.cross_attention:
            return 0
        return prefix_length(self.musicgen.lm, self.conditions(["music"])) - self.prompt_length("music")

    @traceable
    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int] | int = 0,
        duration: float = 4.0,
        sampling: Sampling | None = None,
        forced: Int[Tensor, "#row codebook frame"] | None = None,
        on_step: Callable[[int], None] | None = None,
        exit_layer: int | None = None,
        noise: RowNoise | None = None,
        prefix: Int[Tensor, "#row codebook given"] | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        """Tokens for ``prompts``; each row's noise depends on its (prompt, seed) only.

        ``exit_layer``: the last layer that is computed; its output goes through the final norm and heads
        (the free-running DecoderLens). ``noise``: that of `noise`, where somebody else draws from it as well.
        ``prefix``: tokens of the first frames, which the generation continues.
        """
        noise = noise or self.noise(prompts, seeds)
        conditions = self.conditions(prompts)
        with self._autocast(), self._up_to(exit_layer):
            n_frames = self.n_frames(duration)
            sampling = sampling or Sampling()
            return decode(self.musicgen.lm, conditions, noise, n_frames, sampling, forced, on_step, prefix)

    def noise(self, prompts: Sequence[str], seeds: Sequence[int] | int, keep: bool = False) -> RowNoise:
        """The sampling noise of rows, to be drawn step by step; ``keep`` it to generate with it several times."""
        seeds = [seeds] * len(prompts) if isinstance(seeds, int) else list(seeds)
        return RowNoise(prompts, seeds, (self.musicgen.lm.n_q, self.musicgen.lm.card), self.device, keep)

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

    def _batch_size(self, *inputs: object, **_: object) -> int:
        return len(inputs[0]) if inputs else 0  # type: ignore[arg-type]

    @torch.no_grad()
    def to_audio(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row sample"]:
        """Decode tokens to mono audio at `sample_rate`."""
        audio = cast(Tensor, self.musicgen.compression_model.decode(tokens.to(self.device), None))
        return audio.float().mean(dim=1)

    # -- TransformerLens-style access ----------------------------------------------------------

    def select_hooks(self, names: NamesFilter) -> tuple[Hook, ...]:
        """The hooks that a name, a list of names or a predicate selects, in forward order."""
        if names is None:
            chosen: Iterable[str] = self.hook_names
        elif callable(names):
            chosen = [name for name in self.hook_names if names(name)]
        else:
            chosen = [names] if isinstance(names, str) else names
        hooks = tuple(sorted({Hook.parse(name) for name in chosen}))
        for hook in hooks:
            if hook.layer >= self.n_layers:
                raise UserError(f"hook '{hook.name}': this model has layers 0 to {self.n_layers - 1}")
            if hook.point not in self.points:
                raise UserError(
                    f"hook '{hook.name}': this model has no cross-attention; its points are {', '.join(self.points)}"
                )
        return hooks

    def run_with_cache(
        self, prompts: Sequence[str], names_filter: NamesFilter = None, **generation: object
    ) -> tuple[Int[Tensor, "row codebook frame"], dict[str, Float[Tensor, "half row step d_model"]]]:
        """Generate, and return the tokens and the values of the chosen hooks at every step."""
        hooks = self.select_hooks(names_filter)
        cache: dict[str, list[Tensor]] = {hook.name: [] for hook in hooks}

        def keep(hook: Hook, _step: int, value: Tensor) -> None:
            cache[hook.name].append(rearrange(value, "(half row) 1 d -> half row d", half=2).clone())

        tokens = self.visit(prompts, hooks, keep, **generation)
        return tokens, {name: torch.stack(values, dim=2) for name, values in cache.items()}

    def run_with_hooks(
        self, prompts: Sequence[str], fwd_hooks: Sequence[tuple[NamesFilter, HookFn]], **generation: object
    ) -> Int[Tensor, "row codebook frame"]:
        """Generate with functions on hooks: ``fn(value, hook)`` returns a new value, or None to only look.

        ``value`` is ``[half, row, d_model]`` of one step, the conditional half first.
        """
        functions: dict[Hook, list[HookFn]] = {}
        for names, fn in fwd_hooks:
            for hook in self.select_hooks(names):
                functions.setdefault(hook, []).append(fn)

        def apply(hook: Hook, step: int, value: Tensor) -> Tensor | None:
            current, changed = rearrange(value, "(half row) 1 d -> half row d", half=2), False
            for fn in functions[hook]:
                out = fn(current, HookPoint(hook.name, step))
                current, changed = (current, changed) if out is None else (out, True)
            return rearrange(current, "half row d -> (half row) 1 d") if changed else None

        return self.visit(prompts, tuple(sorted(functions)), apply, **generation)

    def visit(
        self,
        prompts: Sequence[str],
        hooks: Sequence[Hook],
        fn: Callable[[Hook, int, Float[Tensor, "half_row 1 d_model"]], Tensor | None],
        **generation: object,
    ) -> Int[Tensor, "row codebook frame"]:
        """One traced generation in which ``fn(hook, step, value)`` sees every chosen hook at every step.

        What ``fn`` returns (unless None) takes the value's place; the generation goes on from it. Where the text
        stands before the music, the first step runs through its positions as well; ``fn`` sees the last one only.
        """
        duration = generation.setdefault("duration", 4.0)
        if not hooks:
            return self.generate(prompts, **generation)  # type: ignore[arg-type]
        steps, layers = self.n_steps(duration), self.transformer.layers  # type: ignore[arg-type]
        with self.generate(prompts, **generation) as tracer:  # type: ignore[arg-type]
            for step in tracer.iter[:steps]:
                for hook in hooks:
                    value = hook.read(layers)
                    edited = fn(hook, step, value[:, -1:])
                    if edited is not None:
                        before = value[:, :-1]
                        hook.write(layers, edited if step else torch.cat([before, edited], dim=1))
            tokens = tracer.result.save()
        return tokens

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
