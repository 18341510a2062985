"""Sampling with one random stream per row, so that a row's tokens never depend on its neighbours."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.base.errors import UserError

NOISE_STEPS = 16  # steps of noise drawn at once for a row: few calls, little memory


ANOTHER_SEED = 1_000_003
"""Added to a clip's seed for a control with another: far from the seeds that runs take."""


@dataclass(frozen=True)
class Sampling:
    """MusicGen's defaults. ``guidance``: logits = uncond + guidance · (cond − uncond). ``top_k`` 0: all tokens.

    UserError for numbers that nothing can be sampled with.
    """

    top_k: int = 250
    temperature: float = 1.0
    guidance: float = 3.0

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise UserError(f"top_k={self.top_k}: expected 0 (all tokens) or more")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"temperature={self.temperature:g}: expected a number above 0")
        if not math.isfinite(self.guidance):
            raise UserError(f"guidance={self.guidance:g}: expected a number")


class RowNoise:
    """Exponential noise, one independent stream per row.

    The stream is a function of (prompt, seed) alone. ``argmax(p / noise)`` is then a sample from
    ``p`` (the exponential race), which is also how ``torch.multinomial`` draws one sample.
    ``keep``: hold on to what was drawn, for a `rewind` that draws nothing again.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        shape: tuple[int, int],
        device: torch.device,
        keep: bool = False,
    ) -> None:
        self._streams = list(zip(prompts, seeds, strict=True))
        self._generators = [_generator(p, s, device) for p, s in self._streams]
        self._kept: list[Tensor] | None = [] if keep else None
        self.block = torch.empty(len(prompts), NOISE_STEPS, *shape, device=device)
        self._next = 0

    def __call__(self, step: int) -> Float[Tensor, "row codebook card"]:
        """The noise of ``step``; steps must be asked for in order, from 0.

        ``block`` holds it ``[row, step, codebook, card]`` with that of the other steps drawn at the same time.
        """
        if step == self._next:
            self._next += NOISE_STEPS
            self._draw(step // NOISE_STEPS)
        return self.block[:, step % NOISE_STEPS]

    def rewind(self) -> None:
        """Begin again: the next generation has the same noise."""
        self._next = 0
        if self._kept is None:
            self._generators = [_generator(p, s, self.block.device) for p, s in self._streams]

    def _draw(self, place: int) -> None:
        if self._kept is not None and place < len(self._kept):
            self.block = self._kept[place]
            return
        if self._kept is not None:
            self.block = torch.empty_like(self.block)
            self._kept.append(self.block)
        for rows, generator in zip(self.block, self._generators, strict=True):
            rows.exponential_(generator=generator)


def _generator(prompt: str, seed: int, device: torch.device) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def race_top_k(
    logits: Float[Tensor, "*place codebook card"], gumbel: Float[Tensor, "*place codebook card"], top_k: int
) -> Int[Tensor, "*place codebook"]:
    """What `sample_top_k` draws (but for rounding), with ``gumbel = −temperature · log(noise)`` taken beforehand.

    For many readings with one noise: an exponential race is won where ``logit + gumbel`` is greatest.
    """
    race = logits + gumbel
    token = _argmax(race)[..., None]
    card = logits.shape[-1]
    if 0 < top_k < card:
        # The sum of signs is (greater − less): only where it says so can as many as top_k be greater.
        ahead = torch.sub(logits, logits.gather(-1, token), out=race).sign_().sum(dim=-1)
        outside = ahead >= 2 * top_k + 1 - card
        if outside.any():
            rest = logits[outside]
            kth = torch.topk(rest, top_k, dim=-1).values[..., -1:]
            allowed = torch.where(rest >= kth, rest + gumbel[outside], -torch.inf)
            token[outside] = allowed.argmax(dim=-1, keepdim=True)
    return token[..., 0]


def _argmax(x: Float[Tensor, "*place card"]) -> Int[Tensor, "*place"]:
    """On a CPU by NumPy, whose arg-max over the last axis is six times as fast as torch's."""
    return torch.from_numpy(x.numpy().argmax(-1)) if x.device.type == "cpu" else x.argmax(dim=-1)


def sample_top_k(
    logits: Float[Tensor, "row codebook card"], noise: Float[Tensor, "row codebook card"], sampling: Sampling
) -> Int[Tensor, "row codebook"]:
    """Draw one token per codebook from the ``top_k`` most probable ones (ties at the edge included).

    The winner of the race over all tokens is the winner among the ``top_k`` if it is one of them; only
    where it is not must the others be found, which on a CPU spares sorting nearly always. A GPU would have
    to be waited for to know where that is.
    """
    probs = torch.softmax(logits / sampling.temperature, dim=-1)
    limited = 0 < sampling.top_k < probs.shape[-1]
    if limited and probs.device.type != "cpu":
        kth = torch.topk(probs, sampling.top_k, dim=-1).values[..., -1:]
        return torch.argmax(probs * (probs >= kth) / noise, dim=-1)
    token = torch.argmax(probs / noise, dim=-1, keepdim=True)
    if limited:
        better = (probs > probs.gather(-1, token)).sum(dim=-1)
        outside = better >= sampling.top_k
        if outside.any():
            rest = probs[outside]
            kth = torch.topk(rest, sampling.top_k, dim=-1).values[..., -1:]
            token[outside] = torch.argmax(rest * (rest >= kth) / noise[outside], dim=-1, keepdim=True)
    return token[..., 0]
