"""How unusual each bar of a piece is to the model: nats a note under the unedited model."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from jaxtyping import Float32

from mech_music.base.errors import UserError
from mech_music.models.sampling import Sampling
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.model import SymbolicGenerator

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips

_VERSION = 1  # raise it when a change of this code changes a reading
_AT_ONCE = 8  # clips of a forward pass, always as many, so that a clip's last bits do not depend on the others


class BarNats:
    """``nats [bar]``: −log p of a bar's tokens, summed over its notes and all they consist of, for each of its notes.

    Teacher-forced along the clip's own tokens, at the sampling temperature, before top-k. NaN for a bar without notes
    (or events). UserError for clips that are no notes.
    """

    in_background = False  # it runs the model that generates

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self.id = f"bar nats {_VERSION} {astuple(sampling)}"

    @classmethod
    def from_run(cls, run: RunConfig) -> Self:
        """Under the distribution that the run samples from."""
        return cls(Sampling(**asdict(run.sampling)))

    def load(self) -> None:
        """There is nothing to load: the generator comes with the clips."""

    @torch.no_grad()
    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip bar"]]:
        """The nats of each clip's bars."""
        generator = clips.generator
        if not isinstance(generator, SymbolicGenerator):
            raise UserError("listener bars: this model makes sound and no bars; use model=symbolic-tiny")
        found = []
        for start in range(0, len(clips.rows), _AT_ONCE):
            prompts = [row.prompt for row in clips.rows[start : start + _AT_ONCE]]
            tokens = clips.tokens[start : start + _AT_ONCE]
            lacking = _AT_ONCE - len(prompts)
            whole = torch.cat([tokens, tokens[-1:].expand(lacking, -1, -1)])
            logits = generator.forced_logits(prompts + prompts[-1:] * lacking, whole, self._sampling)
            each = logits.logsumexp(-1) - logits.gather(-1, whole.to(logits.device).long()[..., None])[..., 0]
            found += [by_bar(generator.decoder, *one) for one in zip(tokens, each.cpu(), strict=False)]
        return {"nats": np.stack(found)}


def by_bar(decoder: Decoder, tokens: torch.Tensor, nats: torch.Tensor) -> Float32[np.ndarray, " bar"]:
    """Nats of each bar's frames, divided by its notes; ``tokens``, ``nats [codebook, frame]``. Ends are no bar's."""
    places = decoder.tokens.places(tokens[None].cpu())
    bars, total = decoder.grid.bars, nats.sum(0)
    alive = (tokens[0].cpu() != decoder.tokens.end[0]).cummin(0).values
    notes = np.bincount([note.bar for note in decoder.tokens.decode(tokens.cpu())], minlength=bars + 1)[:bars]
    sums = [float(total[alive & (places.bar[0] == bar)].sum()) for bar in range(bars)]
    return np.divide(sums, notes, out=np.full(bars, np.nan), where=notes > 0).astype(np.float32)
