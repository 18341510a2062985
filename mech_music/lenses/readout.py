"""From residual streams to tokens: the model's own final norm and heads, at any layer (DecoderLens).

Langedijk, Mohebbi, Sarti, Zuidema, Jumelet, "DecoderLens: Layerwise Interpretation of Encoder-Decoder Transformers"
(2023), as Vélez Vásquez et al. (ISMIR 2024, section 3) use it on MusicGen: a layer's output, taken for the last
one's, is decoded to audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mech_music.models.hooks import Hook
from mech_music.models.protocol import Generator, Visit
from mech_music.models.sampling import NOISE_STEPS, RowNoise, Sampling, race_top_k

# Read at once, a divisor of NOISE_STEPS: enough for good matrix products, few enough for the processor's cache.
_STEPS = 4


@dataclass(frozen=True)
class Translation:
    """``h + W h + b``: from one point's residual stream to the final one's (Belrose et al. 2023, section 3)."""

    weight: Float[Tensor, "d_model d_model"]
    bias: Float[Tensor, " d_model"]

    def __call__(self, stream: Float[Tensor, "*position d_model"]) -> Float[Tensor, "*position d_model"]:
        wide = stream.float()
        return (wide + nn.functional.linear(wide, self.weight, self.bias)).to(stream.dtype)

    def to(self, device: torch.device) -> Translation:
        """The same on a device."""
        return Translation(self.weight.to(device), self.bias.to(device))


class Reader:
    """Reads the tokens of several exits along one generation of the full model, with that generation's own noise.

    Give `see` to the generation as what visits the exits' hooks, and `end_step` as its ``on_step``.
    """

    def __init__(
        self,
        generator: Generator,
        exits: Sequence[tuple[Hook, Translation | None]],
        noise: RowNoise,
        sampling: Sampling,
        n_frames: int,
    ) -> None:
        self._generator, self._exits, self._noise, self._sampling = generator, exits, noise, sampling
        self._n_frames, self._unembed = n_frames, generator.unembedding()
        rows, device = noise.block.shape[0], noise.block.device
        self._mask = generator.sampled_positions(n_frames).to(device)
        shape = (len(exits), rows, generator.n_codebooks, self._mask.shape[1] + 1)
        self._sequences = torch.full(shape, generator.special_token, device=device)
        self._finite = torch.ones(len(exits), rows, dtype=torch.bool, device=device)
        self._seen: dict[Hook, list[Tensor]] = {hook: [] for hook, _ in exits}

    @property
    def hooks(self) -> tuple[Hook, ...]:
        return tuple(self._seen)

    def see(self, hook: Hook, step: int, value: Float[Tensor, "half_row 1 d_model"]) -> None:
        self._seen[hook].append(value[:, 0].clone())

    def end_step(self, step: int) -> None:
        """Sample what was seen in the last few steps."""
        if (step + 1) % _STEPS == 0 or step + 1 == self._mask.shape[1]:
            self._flush(step - step % _STEPS, step + 1)

    @torch.no_grad()
    def _flush(self, start: int, stop: int) -> None:
        drawn = self._noise.block[:, start % NOISE_STEPS :][:, : stop - start]
        gumbel = -self._sampling.temperature * drawn.log()
        mask = self._mask[:, start:stop].T
        streams = {
            hook: torch.stack(seen, 1).unflatten(0, (self._generator.halves, -1)) for hook, seen in self._seen.items()
        }
        self._seen = {hook: [] for hook in self._seen}
        for place, (hook, translation) in enumerate(self._exits):
            stream = streams[hook] if translation is None else translation(streams[hook])
            logits = self._unembed.guided(stream, self._sampling.guidance)
            self._finite[place] &= logits.flatten(1).sum(dim=1).isfinite()
            tokens = race_top_k(logits, gumbel, self._sampling.top_k)
            tokens = torch.where(mask, tokens, self._generator.special_token)
            self._sequences[place, ..., start + 1 : stop + 1] = tokens.transpose(1, 2)

    def tokens(self) -> Int[Tensor, "exit row codebook frame"]:
        """After the generation: every exit's tokens; −1 throughout where a logit was not finite."""
        frames = torch.stack([self._generator.to_frames(sequence, self._n_frames) for sequence in self._sequences])
        return frames.masked_fill(~self._finite[..., None, None], -1)


def leave(
    exit_hook: Hook, translation: Translation | None, edited: Sequence[Hook], visit: Visit
) -> tuple[tuple[Hook, ...], Visit]:
    """Hooks and visitor of a generation that ends at ``exit_hook``: edits below it, then its stream as the last one.

    The transformer has to end with the hook's layer. What is within that layer after the hook still runs, for nothing.
    """
    end = Hook(exit_hook.layer, "resid_post")
    before = tuple(hook for hook in edited if not exit_hook < hook)
    if exit_hook == end and translation is None:
        return before, visit
    kept: dict[str, Tensor] = {}

    def apply(hook: Hook, step: int, value: Tensor) -> Tensor | None:
        out = visit(hook, step, value) if hook in before else None
        if hook == exit_hook:
            kept["stream"] = (value if out is None else out).clone()
        if hook != end:
            return out
        return kept["stream"] if translation is None else translation(kept["stream"])

    return tuple(sorted({*before, exit_hook, end})), apply


def alongside(visits: Mapping[Visit, Sequence[Hook]]) -> tuple[tuple[Hook, ...], Visit]:
    """Several visitors in one generation: each sees what those before it have left at its own hooks."""

    def apply(hook: Hook, step: int, value: Tensor) -> Tensor | None:
        changed = None
        for visit, hooks in visits.items():
            if hook in hooks:
                out = visit(hook, step, value if changed is None else changed)
                changed = changed if out is None else out
        return changed

    return tuple(sorted({hook for hooks in visits.values() for hook in hooks})), apply
