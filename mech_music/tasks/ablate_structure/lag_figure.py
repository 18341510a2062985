"""Where the found heads look from returns: around the source, and by lag in beats beside new sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mech_music.metrics.intervals import mean_intervals, mean_of_measured
from mech_music.results.canvas import Sheet, file_name
from mech_music.structure.causes.causality import Statistics
from mech_music.structure.causes.heads import Head
from mech_music.structure.causes.places import REACH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_CAPTION = (
    "Tracks that heads were not found on, conditional half. Left: 0 is the position that has read what the source had "
    "where the return is now (an induction head's target); −1 the one that drew it. Right: solid from returns, dotted "
    "from new sections; the last lag is what lies further back, or before the music."
)


def lag_figure(
    scores: Mapping[str, np.ndarray], heads: Sequence[Head], how: Statistics, model: str, folder: Path
) -> list[Path]:
    """``attention-by-lag``: a colour for each head."""
    tested = np.asarray(scores["tested"], bool)
    lags = np.flatnonzero(np.nan_to_num(scores["beats_returns"][tested]).max(axis=(0, 1, 2)) > 0)
    with Sheet(2, width=10.0, height=4.4, columns=2, share_x=False) as sheet:
        around, by_beat = sheet.axes
        for head, colour in zip(heads, _COLOURS * len(heads), strict=False):
            at = (tested, head.layer, head.head)
            _curve(around, np.arange(-REACH, REACH + 1), scores["around"][at], how, color=colour, label=f"head {head}")
            for name, dash in (("beats_returns", "-"), ("beats_new", ":")):
                by_beat.plot(lags, _mean(scores[name][at])[lags], color=colour, linestyle=dash, linewidth=1.0)
        around.set_xlabel("positions from the source's")
        by_beat.set_xlabel("beats back")
        around.set_ylabel("attention from returns")
        around.set_ylim(0.0, 1.0)
        level = f"Means over pieces, left with {100 * how.level:g} % bootstrap intervals."
        sheet.words(f"Where the heads that were found look, model {model}", f"{_CAPTION} {level}")
        return sheet.save(folder, file_name("attention-by-lag", model))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the pieces that have some."""
    return mean_of_measured(values.astype(float), 0)


def _curve(axes: Axes, x: np.ndarray, values: np.ndarray, how: Statistics, **style: Any) -> None:
    mean, low, high, _ = mean_intervals(values.astype(float), how.resamples, how.level, how.seed)
    axes.plot(x, mean, linewidth=1.3, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.12, linewidth=0)
