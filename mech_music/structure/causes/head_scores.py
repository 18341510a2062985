"""Scores of heads along annotated pieces, teacher-forced: where they look from a return, and what they copy.

Everything is by piece, so that heads can be found on some and measured on others. In the conditional guidance half.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from mech_music.activations.recipes import Making, register, resolves
from mech_music.base.workers import Advance
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook
from mech_music.saes.progress import progress
from mech_music.structure.causes.conditions import HeadScores, PieceMean, ReturnDirection
from mech_music.structure.causes.forced import filled, read_along
from mech_music.structure.causes.heads import split_tracks
from mech_music.structure.causes.looking import Looking, mean_over, state_of
from mech_music.structure.causes.places import Steps
from mech_music.structure.causes.writing import Copying, output_maps
from mech_music.structure.pieces.annotated import AnnotatedPiece

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

_ROWS = 16  # of a pass, whose attention is looked at
Record = Mapping[str, np.ndarray]


class _Means:
    """Means over positions of z, and of the stream at steps of returns and of new sections."""

    def __init__(self, pieces: Sequence[AnnotatedPiece], steps: Steps) -> None:
        state = np.stack([state_of(piece, steps) for piece in pieces])
        there = np.stack([np.arange(steps.n_steps) < piece.n_frames + max(steps.first) for piece in pieces])
        self._weights = torch.from_numpy(np.stack([there, state == 0, state == 1])).float()
        self._sums: dict[tuple[str, int], Tensor] = {}

    def see(self, name: str, layer: int, step: int, value: Float[Tensor, "row half width"], of: int) -> None:
        """One step's value; ``of``: which steps count."""
        part = value.double() * self._weights[of, :, step].to(value.device)[:, None, None]
        self._sums[name, layer] = self._sums.get((name, layer), torch.zeros_like(part)) + part

    def tensors(self) -> dict[str, Float32[np.ndarray, "row layer half width"]]:
        names, counts = dict.fromkeys(name for name, _ in self._sums), self._weights.sum(-1).numpy()
        found = {}
        for place, name in enumerate(names):
            layers = [sums for (own, _), sums in sorted(self._sums.items()) if own == name]
            found[name] = mean_over(torch.stack(layers, 1).cpu().numpy(), counts[place])
        return found


class _Scores:
    """Recipe of `HeadScores`."""

    def needs(self, source: HeadScores) -> Sequence[object]:
        return ()

    def together(self, source: HeadScores) -> Hashable:
        return source

    def make(self, sources: Sequence[HeadScores], making: Making) -> dict[HeadScores, Record]:
        (source,), passes = sources, making.passes
        pieces = source.pieces.load(passes.model, passes.model.n_frames(passes.settings.duration))
        tested = split_tracks([piece.track for piece in pieces], source.pieces.seed)
        maps = torch.stack(output_maps(passes.model))
        rows = [Row(piece.prompt, place) for place, piece in enumerate(pieces)]
        packs = passes.packs(rows, min(_ROWS, making.most), making.n_workers)
        with progress("heads", len(rows), making.quiet) as show:
            parts = making.spread(
                lambda pack, advance: _scored(pack, [pieces[row.seed] for row in pack], source, maps, passes, advance),
                packs,
                show,
            )
        order = np.argsort([row.seed for pack in packs for row in pack])
        found = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
        return {source: found | {"tested": tested.astype(np.int64), "track": _numbers(pieces)}}


def _numbers(pieces: Sequence[AnnotatedPiece]) -> Int64[np.ndarray, " piece"]:
    known = {track: place for place, track in enumerate(dict.fromkeys(piece.track for piece in pieces))}
    return np.array([known[piece.track] for piece in pieces])


@torch.no_grad()
def _scored(
    pack: Sequence[Row],
    pieces: Sequence[AnnotatedPiece],
    source: HeadScores,
    maps: Tensor,
    passes: PassRunner,
    advance: Advance,
) -> Record:
    model = passes.model
    steps = Steps.of(model, model.n_frames(passes.settings.duration))
    looking = Looking(pieces, steps, (model.n_layers, model.n_heads), source.recent)
    copying, means = Copying(pieces, steps, model.unembedding(torch.float32), maps), _Means(pieces, steps)
    z: list[Tensor] = []

    def see(hook: Hook, step: int, value: Float[Tensor, "row half position width"]) -> None:
        if hook.point == "attn.pattern":
            looking.see(hook.layer, step, value[:, 0])
        elif hook.point == "attn.z":
            means.see("z", hook.layer, step, value[:, :, 0], 0)
            z.append(value[:, 0, 0].unflatten(-1, (model.n_heads, -1)).clone())
        else:
            for of, name in ((1, "stream_returns"), (2, "stream_new")):
                means.see(name, hook.layer, step, value[:, :, 0], of)
            if hook.layer == model.n_layers - 1:
                copying.see(step, value[:, 0, 0], z)
                z.clear()

    points = ("attn.pattern", "attn.z", "resid_post")
    hooks = [Hook(layer, point) for layer in range(model.n_layers) for point in points]
    read_along(passes, pack, [filled(piece.codes, steps.n_frames) for piece in pieces], hooks, see)
    advance(len(pack))
    return looking.tensors() | copying.tensors() | means.tensors()


def found_on(record: Mapping[str, np.ndarray], name: str, tested: bool = False) -> Float[np.ndarray, ...]:
    """The mean of a score over the pieces that heads are found on, or are tested on; NaN where none has it."""
    values = np.asarray(record[name], float)[np.asarray(record["tested"], bool) == tested]
    counts = (~np.isnan(values)).sum(0)
    return np.where(counts > 0, np.nansum(values, 0) / np.maximum(counts, 1), np.nan)


def induction(record: Mapping[str, np.ndarray], tested: bool = False) -> Float[np.ndarray, "layer head"]:
    """Attention to a return's source, less the greater of its two controls: the same place in other sections, and as
    far back from new sections."""
    controls = np.stack([found_on(record, name, tested) for name in ("elsewhere", "same_lag")])
    greatest = np.where(np.isnan(controls).all(0), 0.0, np.fmax(*controls))
    return found_on(record, "source", tested) - greatest


@resolves(PieceMean)
def piece_mean(source: PieceMean, hook: str, passes: PassRunner) -> Tensor:
    """``[1, half, width]`` of a layer's heads."""
    record = {name: tensor.numpy() for name, tensor in passes.recording.get(source.scores).items()}
    return torch.from_numpy(found_on(record, "z")[Hook.parse(hook).layer]).float()[None]


@resolves(ReturnDirection)
def return_direction(source: ReturnDirection, hook: str, passes: PassRunner) -> Tensor:
    """``[1, half, width]`` of the stream after a layer."""
    record = {name: tensor.numpy() for name, tensor in passes.recording.get(source.scores).items()}
    less = found_on(record, "stream_returns") - found_on(record, "stream_new")
    return torch.from_numpy(less[Hook.parse(hook).layer]).float()[None]


register(HeadScores, _Scores())
