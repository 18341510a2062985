"""The likelihood of given tokens in edited runs: teacher-forced, step by step, as a generation would go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mech_music.activations.observe import observe, padding
from mech_music.activations.recipes import Making
from mech_music.base.workers import Advance
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook
from mech_music.structure.causes.places import Steps, measured_frames
from mech_music.structure.pieces.annotated import AnnotatedPiece

if TYPE_CHECKING:
    from mech_music.activations.observe import Consumer
    from mech_music.engine.passes import PassRunner

MOST = 64
"""Rows of a pass: more are hardly faster."""
Codes = Int[np.ndarray, "codebook frame"]


def filled(codes: Codes, n_frames: int) -> Codes:
    """As long as a clip: the last frame again, which nothing that is measured can see."""
    return np.pad(codes, ((0, 0), (0, n_frames - codes.shape[1])), mode="edge")


def read_along(
    passes: PassRunner, rows: Sequence[Row], codes: Sequence[Codes], hooks: Sequence[Hook], see: Consumer
) -> None:
    """Show what hooks have along given tokens, in runs with the rows' edits; the rows may share a pass."""
    n_frames = passes.model.n_frames(passes.settings.duration)
    forced = torch.from_numpy(np.stack([filled(one, n_frames) for one in codes])).long().to(passes.model.device)
    observe(
        passes.model,
        rows,
        hooks,
        see,
        passes.edits,
        sampling=passes.settings.sampling,
        duration=passes.settings.duration,
        forced=torch.cat([forced, forced[-1:].expand(padding(len(rows)), -1, -1)]),
    )


class Nats:
    """−log p of each token of given clips, read off the last residual stream step by step."""

    def __init__(self, passes: PassRunner, codes: Sequence[Codes], guidance: float) -> None:
        self._unembed, self._guidance = passes.model.unembedding(torch.float32), guidance
        self._steps = Steps.of(passes.model, n_frames := passes.model.n_frames(passes.settings.duration))
        self._codes = torch.from_numpy(np.stack([filled(one, n_frames) for one in codes])).to(passes.model.device)
        self.found = torch.full(self._codes.shape, torch.nan, device=passes.model.device)

    @torch.no_grad()
    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 d_model"]) -> None:
        """The last stream of a step."""
        logits = self._unembed.guided(value[:, :, 0].transpose(0, 1), self._guidance)
        likely = logits.log_softmax(-1)
        for codebook, first in enumerate(self._steps.first):
            if 0 <= (frame := step - first) < self._codes.shape[-1]:
                token = self._codes[:, codebook, frame, None]
                self.found[:, codebook, frame] = -likely[:, codebook].gather(-1, token)[:, 0]


def forced_nats(
    making: Making,
    rows: Sequence[Row],
    codes: Sequence[Codes],
    guidance: float,
    advance: Advance,
    most: int = MOST,
) -> list[Float32[np.ndarray, "codebook frame"]]:
    """−log p in nats of each token of each clip, in runs with the rows' edits: under ``guidance`` (1: the conditional
    distribution), at temperature 1, all tokens allowed. NaN where a value is not finite. ``most``: rows of a pass.
    """
    # A row's place is its seed, so that equal runs along other tokens are other rows.
    own = [replace(row, seed=place) for place, row in enumerate(rows)]
    packs = making.passes.packs(own, min(most, making.most), making.n_workers)

    def work(pack: Sequence[Row], advance: Advance) -> Float32[np.ndarray, "row codebook frame"]:
        along = [codes[row.seed] for row in pack]
        nats = Nats(making.passes, along, guidance)
        last = Hook(making.passes.model.n_layers - 1, "resid_post")
        read_along(making.passes, pack, along, [last], nats.see)
        advance(len(pack))
        return nats.found.cpu().numpy()

    found: dict[int, np.ndarray] = {}
    for pack, nats in zip(packs, making.spread(work, packs, advance), strict=True):
        found |= {row.seed: one[:, : codes[row.seed].shape[1]] for row, one in zip(pack, nats, strict=True)}
    return [found[place] for place in range(len(rows))]


def by_kind(
    piece: AnnotatedPiece, nats: Float32[np.ndarray, "codebook frame"], settle: int
) -> tuple[Float[np.ndarray, " kind"], Float[np.ndarray, " kind"]]:
    """The sum of a piece's nats in sections of each kind, and how many tokens they are."""
    counted = measured_frames(piece, settle)
    return counted @ nats.astype(float).sum(0), counted.sum(1) * len(nats)
