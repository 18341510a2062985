"""Attention of a symbolic model along given pieces, summed by bars and by interval; beside attention that is even."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.models.hooks import Hook
from mech_music.models.symbolic.attributes import ATTRIBUTES
from mech_music.models.symbolic.decoder import N_CONTROLS
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.tokens import NO_PITCH
from mech_music.models.symbolic.training import Written, batch_of

WIDEST = 24
"""Semitones up and down that attention is told of; what is further, or has no pitch, comes last."""
_AT_ONCE = 16


@dataclass(frozen=True)
class Looked:
    """Attention from the notes of a bar to those of each bar up to it, means over the bar's notes; ``even``: as if
    every token so far, the control tokens among them, had as much. NaN for bars that a piece has not.

    ``intervals``: by how many semitones the attended note is below (line 0: 24 above; the last: neither), of all notes.
    """

    bars: Float[Tensor, "piece layer head bar key_bar"]
    even: Float[Tensor, "piece bar key_bar"]
    intervals: Float[Tensor, "piece layer head interval"]
    even_intervals: Float[Tensor, "piece interval"]


@torch.no_grad()
def look(model: SymbolicGenerator, pieces: Sequence[Written]) -> Looked:
    """Teacher-forced along the pieces. A query stands where its own note stands, and predicts the next."""
    parts = [_look(model, pieces[at : at + _AT_ONCE]) for at in range(0, len(pieces), _AT_ONCE)]
    return Looked(*(torch.cat([getattr(part, name) for part in parts]) for name in Looked.__annotations__))


def _look(model: SymbolicGenerator, pieces: Sequence[Written]) -> Looked:
    decoder = model.decoder
    _, frames = batch_of(decoder, pieces)
    places = decoder.places(frames)
    there = torch.nn.functional.pad(frames[:, 0] != decoder.tokens.end[0], (N_CONTROLS, 0)).float()
    there[:, :N_CONTROLS] = 0.0
    bars = decoder.grid.bars
    at_bar = torch.nn.functional.one_hot(places.bar.clamp(max=bars - 1), bars).float() * there[..., None]
    rows, shape = len(pieces), (model.n_layers, model.n_heads)
    by_bar, by_interval = torch.zeros(rows, *shape, bars, bars), torch.zeros(rows, *shape, 2 * WIDEST + 2)
    even, even_intervals = torch.zeros(rows, bars, bars), torch.zeros(rows, 2 * WIDEST + 2)

    def see(hook: Hook, step: int, value: Float[Tensor, "row head key"]) -> None:
        if step < N_CONTROLS:
            return
        pattern = value.float() * there[:, None, None, step]
        flat = there[:, step, None] * torch.ones(rows, step + 1) / (step + 1)
        own = at_bar[:, step, :, None]
        interval = _interval(places.pitch[:, step, None], places.pitch[:, : step + 1])
        into = torch.zeros(rows, shape[1], 2 * WIDEST + 2)
        by_interval[:, hook.layer] += into.scatter_add(2, interval[:, None].expand(-1, shape[1], -1), pattern)
        keys = pattern @ at_bar[:, : step + 1]
        by_bar[:, hook.layer] += own[:, None] * keys[..., None, :]
        if hook.layer == 0:
            even.add_(own * (flat[:, None] @ at_bar[:, : step + 1]))
            even_intervals.scatter_add_(1, interval, flat)

    hooks = [Hook(layer, "attn.pattern") for layer in range(model.n_layers)]
    prompts = [_prompt(piece) for piece in pieces]
    model.visit(prompts, hooks, see, forced=frames, duration=frames.shape[-1] / model.frame_rate)
    # The last frame is drawn and never a query.
    notes = at_bar[:, :-1].sum(1)
    counts = torch.where(notes > 0, notes, torch.nan)
    total = notes.sum(1)
    return Looked(
        by_bar / counts[:, None, None, :, None],
        even / counts[..., None],
        by_interval / total[:, None, None, None],
        even_intervals / total[:, None],
    )


def _interval(query: Int[Tensor, "row 1"], key: Int[Tensor, "row key"]) -> Int[Tensor, "row key"]:
    apart = query - key
    known = (query != NO_PITCH) & (key != NO_PITCH) & (apart.abs() <= WIDEST)
    return torch.where(known, apart + WIDEST, 2 * WIDEST + 1)


def _prompt(piece: Written) -> str:
    """Words that set the control tokens of a piece."""
    where = {"key": "key of {}", "form": "{} form"}
    return ", ".join(
        where.get(name, "{}").format(piece.attributes[name]) for name in ATTRIBUTES if name in piece.attributes
    )
