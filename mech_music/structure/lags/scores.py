"""What attention by bars says: profiles by lag, whether 4, 8 and 12 bars back stand out, and whether returns are met.

Every score is by piece first; intervals are over pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mech_music.metrics.intervals import Interval, mean_interval
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import Piece

PERIODS, BESIDE = (4, 8, 12), (3, 5, 7, 9, 11, 13)
_RESAMPLES, _LEVEL = 2000, 0.95


def by_lag(
    bars: Float[np.ndarray, "piece *head bar key_bar"],
) -> Float[np.ndarray, "piece *head lag"]:
    """Attention so many bars back: the mean over the bars of a piece that have one there."""
    n = bars.shape[-1]
    found = [np.diagonal(bars, -lag, -2, -1) for lag in range(n)]
    counts = [(~np.isnan(one)).sum(-1) for one in found]
    means = [np.nansum(one, -1) / np.where(count > 0, count, np.nan) for one, count in zip(found, counts, strict=True)]
    return np.stack(means, -1)


def periodic(relative: Float[np.ndarray, "piece *head lag"]) -> np.ndarray:
    """Attention at 4, 8 and 12 bars over even attention, as log2, less that at the lags beside them; by piece.

    NaN for pieces that are not longer than 13 bars. 0 where attention falls smoothly or not at all.
    """
    with np.errstate(divide="ignore"):
        logs = np.log2(np.maximum(relative, 1e-6))
    return logs[..., list(PERIODS)].mean(-1) - logs[..., list(BESIDE)].mean(-1)


def sources_of(piece: Piece | Stretch) -> list[int | None]:
    """The bar that each bar brings back, None where it is new. Of planted pieces the truth; of labelled ones the same
    place in the latest earlier phrase of the letter; of others the latest bar, two or more back, of the same notes."""
    if isinstance(piece, Piece):
        bars = max(note.bar for note in piece.notes) + 1
        return [piece.source_of(bar) if piece.kind_of(bar) != "decoy" else None for bar in range(bars)]
    if any(piece.letters):
        return _by_letters(piece.letters)
    content = [_content(piece.notes, bar) for bar in range(piece.n_bars)]
    return [max((b for b in range(bar - 1) if content[b] == content[bar]), default=None) for bar in range(piece.n_bars)]


def _by_letters(letters: Sequence[str]) -> list[int | None]:
    starts = [bar for bar, letter in enumerate(letters) if bar == 0 or letters[bar - 1] != letter]
    found = list[int | None]()
    for bar, letter in enumerate(letters):
        own = max(start for start in starts if start <= bar)
        earlier = [start for start in starts if start < own and letters[start] == letter]
        source = earlier[-1] + bar - own if earlier and letter else None
        found.append(source if source is not None and letters[source] == letter and source < own else None)
    return found


def _content(notes: Sequence[Note], bar: int) -> frozenset[Note]:
    return frozenset(note.moved(bars=-bar) for note in notes if note.bar == bar)


def met(
    bars: Float[np.ndarray, "piece *head bar key_bar"], sources: Sequence[Sequence[int | None]]
) -> tuple[np.ndarray, np.ndarray]:
    """Attention from bars that return to their source, and its null: from the same bar of other pieces to the same bar,
    where that is not what it brings back. Means over the returns of a piece; NaN for pieces without any."""
    own, null = (np.full(bars.shape[:-2], np.nan) for _ in range(2))
    for piece, found in enumerate(sources):
        pairs = [(bar, source) for bar, source in enumerate(found) if source is not None]
        here, there = [], []
        for bar, source in pairs:
            others = [p for p, o in enumerate(sources) if p != piece and bar < len(o) and o[bar] != source]
            if others:
                here.append(bars[piece, ..., bar, source])
                there.append(np.nanmean(bars[others][..., bar, source], axis=0))
        if here:
            own[piece], null[piece] = np.mean(here, 0), np.mean(there, 0)
    return own, null


def over_pieces(values: Float[np.ndarray, " piece"]) -> Interval:
    """The mean, with its bootstrap-t interval."""
    return mean_interval(np.asarray(values, float), _RESAMPLES, _LEVEL, 0)
