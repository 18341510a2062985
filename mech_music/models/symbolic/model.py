"""The symbolic transformer as a `Generator`: one row is one piece, one frame a note (or an event).

A prompt is read for words (`attributes`), which become control tokens before the music: they are the first steps of a
generation, which draw nothing. Afterwards each step draws a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mech_music.base.errors import UserError
from mech_music.models import protocol
from mech_music.models.hooked import HookedModel
from mech_music.models.hooks import Hook
from mech_music.models.protocol import DURATION, Generation, Visit
from mech_music.models.sampling import RowNoise, Sampling, sample_top_k
from mech_music.models.symbolic import sound
from mech_music.models.symbolic.attributes import controls_of, read_prompt
from mech_music.models.symbolic.decoder import DECODER_POINTS, N_CONTROLS, Decoder, LayerCache, module_name
from mech_music.models.symbolic.notes import Note
from mech_music.models.unembedding import Unembedding

FRAME_RATE = 5.0
"""Frames (notes or events) that are counted as a second: what notes usually are; a clip's sound has its own clock."""


class SymbolicGenerator(HookedModel):
    """Implements `mech_music.models.protocol.Generator`.

    Args:
        fingerprint: what identifies the weights.
        frame_rate: frames that are counted as a second.
    """

    halves, sample_rate = 1, sound.SAMPLE_RATE
    points = DECODER_POINTS
    probe_prompt = "A major piece in the key of C, in four-four time, dense, in a high register, with a free form."

    def __init__(self, decoder: Decoder, fingerprint: str = "", frame_rate: float = FRAME_RATE) -> None:
        self.decoder, self.fingerprint = decoder.eval().requires_grad_(False), fingerprint
        self.frame_rate = frame_rate
        self.card = self.special_token = decoder.card
        self.n_layers, self.d_model, self.n_heads = decoder.shape.layers, decoder.shape.width, decoder.shape.heads
        self.n_codebooks = decoder.tokens.n_codebooks

    @property
    def device(self) -> torch.device:
        return self.decoder.bars.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.bars.weight.dtype

    def n_frames(self, duration: float) -> int:
        found = super().n_frames(duration)
        if found > self.decoder.shape.context:
            context, kind = self.decoder.shape.context, self.decoder.tokens.name
            raise UserError(
                f"duration={duration:g} is {found} {kind}s, more than the {context} of this model's context: use "
                f"duration={context / self.frame_rate:g} or less"
            )
        return found

    def n_steps(self, duration: float) -> int:
        return self.n_frames(duration) + N_CONTROLS - 1

    def group_of(self, prompt: str) -> Hashable:
        return None

    def noise(self, prompts: Sequence[str], seeds: Sequence[int] | int, keep: bool = False) -> RowNoise:
        shape = (self.n_codebooks, self.card)
        return RowNoise(prompts, protocol.one_each(seeds, len(prompts)), shape, self.device, keep)

    # -- notes ---------------------------------------------------------------------------------------------

    def notes(self, tokens: Int[Tensor, "row codebook frame"]) -> list[list[Note]]:
        """The notes of each row."""
        return [self.decoder.tokens.decode(row) for row in tokens.cpu()]

    def controls(self, prompts: Sequence[str]) -> Int[Tensor, "row control"]:
        """The control tokens that prompts set."""
        return torch.tensor([controls_of(read_prompt(prompt)) for prompt in prompts], device=self.device)

    # -- generation ----------------------------------------------------------------------------------------

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

                points = self.decoder.blocks[hook.layer].points
                stack.callback(points[module_name(hook.point)].register_forward_hook(offer).remove)
            return self._generate(protocol.listed(prompts), step, **how)

    @torch.no_grad()
    def _generate(
        self,
        prompts: Sequence[str],
        now: list[int],
        seeds: Sequence[int] | int = 0,
        duration: float = DURATION,
        sampling: Sampling | None = None,
        forced: Tensor | None = None,
        prefix: Tensor | None = None,
        on_step: Callable[[int], None] | None = None,
        exit_layer: int | None = None,
        noise: RowNoise | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        if exit_layer is not None and not 0 <= exit_layer < self.n_layers:
            raise UserError(f"exit layer {exit_layer} does not exist: this model has layers 0 to {self.n_layers - 1}")
        frames = self._given(len(prompts), self.n_frames(duration), {"prefix": prefix, "forced": forced})
        noise = noise or self.noise(prompts, seeds)
        steps = _Steps(self.decoder, self.controls(prompts), None if exit_layer is None else exit_layer + 1)
        finite = torch.ones(len(prompts), dtype=torch.bool, device=self.device)
        for step in range(self.n_steps(duration)):
            now[0] = step
            logits, drawn, at = steps.next(frames), noise(step), step - (N_CONTROLS - 1)
            finite &= logits.isfinite().flatten(1).all(1)
            if at >= 0:
                known = frames[..., at]
                own = sample_top_k(logits, drawn, sampling or Sampling())
                frames[..., at] = torch.where(known < 0, own, known)
            if on_step is not None:
                on_step(step)
        return frames.masked_fill(~finite[:, None, None], -1)

    def _given(self, rows: int, n_frames: int, parts: dict[str, Tensor | None]) -> Int[Tensor, "row codebook frame"]:
        """The frames that are known beforehand, −1 elsewhere."""
        frames = torch.full((rows, self.n_codebooks, n_frames), -1, device=self.device)
        for what, known in parts.items():
            protocol.check_tokens(self, what, known, rows, n_frames)
            if known is not None:
                frames[..., : known.shape[-1]] = known.to(self.device)
        return frames

    # -- readings ------------------------------------------------------------------------------------------

    def unembedding(self, dtype: torch.dtype | None = None) -> Unembedding:
        return Unembedding(self.decoder.norm, self.decoder.unembeddings, dtype)

    def sampled_positions(self, n_frames: int) -> Bool[Tensor, "codebook step"]:
        steps = torch.arange(n_frames + N_CONTROLS - 1)
        return (steps >= N_CONTROLS - 1).expand(self.n_codebooks, -1)

    def to_frames(
        self, sequence: Int[Tensor, "row codebook position"], n_frames: int
    ) -> Int[Tensor, "row codebook frame"]:
        return sequence[..., N_CONTROLS : N_CONTROLS + n_frames]

    @torch.no_grad()
    def forced_logits(
        self, prompts: Sequence[str] | str, tokens: Int[Tensor, "row codebook frame"], sampling: Sampling | None = None
    ) -> Float[Tensor, "row codebook frame card"]:
        texts = protocol.listed(prompts)
        protocol.check_tokens(self, "forced", tokens, len(texts), tokens.shape[-1])
        given = tokens.to(self.device).long().expand(len(texts), -1, -1)
        return self.decoder(self.controls(texts), given) / (sampling or Sampling()).temperature

    # -- sound ---------------------------------------------------------------------------------------------

    def to_audio(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row sample"]:
        n_samples = int(tokens.shape[-1] / self.frame_rate * self.sample_rate)
        clips = [sound.render(notes, self.decoder.grid, n_samples) for notes in self.notes(tokens)]
        return torch.stack([torch.from_numpy(clip) for clip in clips])

    def to_tokens(self, audio: Float[Tensor, "row sample"], sample_rate: int) -> Int[Tensor, "row codebook frame"]:
        raise UserError("notes cannot be read from audio: this model continues notes; give a prefix of tokens")

    def row_bytes(self, duration: float) -> int:
        return self.n_layers * 2 * self.n_steps(duration) * self.d_model * self.dtype.itemsize

    def pending_bytes(self) -> int:
        return 0


class _Steps:
    """One position after another through the decoder, with keys and values kept.

    ``n_layers``: how many layers are computed, None for all.
    """

    def __init__(self, decoder: Decoder, controls: Int[Tensor, "row control"], n_layers: int | None) -> None:
        self._decoder, self._controls, self._at = decoder, decoder.embed_controls(controls), 0
        self._layers = decoder.blocks[:n_layers]
        self._tables, self._caches = decoder.tables(), [LayerCache() for _ in self._layers]

    def next(self, frames: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row codebook card"]:
        """The logits after the next position; ``frames``: those so far are known."""
        decoder, at, frame = self._decoder, self._at, self._at - N_CONTROLS
        places = decoder.places(frames[..., : max(0, frame + 1)])[: at + 1]
        here = places[at : at + 1]
        x = self._controls[:, at : at + 1] if frame < 0 else decoder.embed_frames(frames[..., frame : frame + 1])
        x, pairs = decoder.placed(x, here), decoder.pairs(here, places)
        for layer, tables, cache in zip(self._layers, self._tables, self._caches, strict=False):
            x = layer(x, pairs, tables, cache)
        self._at += 1
        normed = decoder.norm(x)[:, 0]
        return torch.stack([head(normed) for head in decoder.unembeddings], 1)
