"""Loss on the held-out pieces of a corpus, and models compared piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mech_music.metrics.intervals import Interval, mean_interval
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.training import batch_of, nats

COLUMNS = ("attention", "seed", "piece", "nats", "notes")
_AT_ONCE, _RESAMPLES, _LEVEL = 8, 2000, 0.95


class Compared(NamedTuple):
    """``loss``: nats a note, the mean over pieces of means over seeds; ``seeds``: that of each seed; ``less``: how much
    it is above the baseline's on the same pieces and seeds."""

    attention: str
    loss: Interval
    seeds: Mapping[int, float]
    less: Interval


@torch.no_grad()
def nats_of_pieces(decoder: Decoder, stretches: Sequence[Stretch]) -> pd.DataFrame:
    """A line for each piece: the nats of all its notes (three tokens, or as many events), and how many notes.

    Teacher-forced, all control tokens that are known given; ends do not count, nor what is behind the context.
    """
    decoder.eval()
    total: dict[str, tuple[float, int]] = {}
    ordered = sorted(stretches, key=lambda one: len(one.notes))
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        controls, frames = batch_of(decoder, some)
        each = nats(decoder, controls, frames) * (frames[:, :1] != decoder.tokens.end[0])
        for one, own, tokens in zip(some, each.flatten(1).double().sum(1).tolist(), frames, strict=True):
            nats_so_far, notes = total.get(one.score, (0.0, 0))
            total[one.score] = nats_so_far + own, notes + len(decoder.tokens.decode(tokens))
    return pd.DataFrame([(piece, *total[piece]) for piece in sorted(total)], columns=pd.Index(COLUMNS[2:]))


def compared(table: pd.DataFrame, baseline: str) -> list[Compared]:
    """Each attention beside the baseline, the best first. ``table``: columns `COLUMNS`; intervals are over pieces.

    Of each attention the seeds that the baseline has as well, so that no difference is one of seeds.
    """
    by_note = table.assign(loss=table["nats"] / table["notes"])
    wide = by_note.pivot(index="piece", columns=["attention", "seed"], values="loss")
    losses = {str(name): wide[name] for name in wide.columns.unique("attention")}
    found = []
    for name, own in losses.items():
        common = own.columns.intersection(losses[baseline].columns)
        less = (own[common] - losses[baseline][common]).mean(axis=1).to_numpy(float)
        found.append(
            Compared(name, _over(own.mean(axis=1).to_numpy(float)), own.mean().to_dict(), _over(less)),
        )
    return sorted(found, key=lambda one: one.loss.mean)


def _over(pieces: np.ndarray) -> Interval:
    return mean_interval(pieces, _RESAMPLES, _LEVEL, 0)
