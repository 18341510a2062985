"""Where found heads look, beat by beat, along single pieces: to be drawn and looked at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook
from mech_music.structure.causes.ablation import needed, opened
from mech_music.structure.causes.candidates import heads_of
from mech_music.structure.causes.conditions import Arcs
from mech_music.structure.causes.forced import read_along
from mech_music.structure.causes.heads import Head
from mech_music.structure.causes.places import Steps, beat_of
from mech_music.structure.pieces.annotated import AnnotatedPiece
from mech_music.structure.pieces.packing import packed


class _Arcs:
    """Recipe of `Arcs`. Records ``attention [piece, head, beat, beat]``, NaN where a piece has no such beat;
    ``heads [head, 2]``: layer and head; ``pieces``."""

    def needs(self, source: Arcs) -> Sequence[object]:
        return needed(source.study)

    def together(self, source: Arcs) -> Hashable:
        return source

    def make(self, sources: Sequence[Arcs], making: Making) -> dict[Arcs, Mapping[str, np.ndarray]]:
        (source,) = sources
        records, tested = opened(source.study, making)
        heads = heads_of(source.study, source.condition, records[source.study.scores])
        pieces = tested[: source.n]
        attention = [along(piece, heads, making) for _, piece in pieces]
        most = max((one.shape[-1] for one in attention), default=0)
        widths = [most - one.shape[-1] for one in attention]
        wide = [
            np.pad(one, ((0, 0), (0, width), (0, width)), constant_values=np.nan)
            for one, width in zip(attention, widths, strict=True)
        ]
        found = {"attention": np.stack(wide) if wide else np.zeros((0, len(heads), 0, 0), np.float32)}
        shown = packed([piece for _, piece in pieces])
        return {source: found | {"heads": np.array(heads, np.int64).reshape(-1, 2), "pieces": shown}}


@torch.no_grad()
def along(piece: AnnotatedPiece, heads: Sequence[Head], making: Making) -> Float32[np.ndarray, "head beat beat"]:
    """The share of its attention that a head gives, at steps of one beat, to positions of another; the mean over those
    steps. What it gives to before the music is in none."""
    model = making.passes.model
    steps = Steps.of(model, model.n_frames(making.passes.settings.duration))
    beat, n_beats = torch.from_numpy(beat_of(piece, steps)), len(piece.beats)
    sums, counts = torch.zeros(len(heads), n_beats, n_beats + 1), torch.zeros(n_beats)

    def see(hook: Hook, step: int, value: Float[Tensor, "row half head key"]) -> None:
        own = int(beat[step])
        if own < 0 or step >= piece.n_frames + max(steps.first):
            return
        pattern = value[0, 0, :, value.shape[-1] - step - 1 :].cpu().float()
        there = torch.where(beat[: step + 1] < 0, n_beats, beat[: step + 1])
        for place, head in enumerate(heads):
            if head.layer == hook.layer:
                sums[place, own].scatter_add_(0, there, pattern[head.head])
        counts[own] += hook.layer == min(one.layer for one in heads)

    hooks = [Hook(layer, "attn.pattern") for layer in sorted({head.layer for head in heads})]
    read_along(making.passes, [Row(piece.prompt, 0)], [piece.codes], hooks, see)
    return (sums[..., :n_beats] / counts[None, :, None]).numpy()


def arcs_of(attention: Float32[np.ndarray, "beat beat"], least: float) -> list[tuple[int, int, float]]:
    """(beat, earlier beat, share) of every earlier beat that a beat gives ``least`` of its attention or more."""
    there = np.argwhere(np.tril(np.nan_to_num(attention), -1) >= least)
    return [(int(a), int(b), round(float(attention[a, b]), 3)) for a, b in there]


register(Arcs, _Arcs())
