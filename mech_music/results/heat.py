"""Heat maps: a number in each cell, a mark where it is told apart from its controls, lighter where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable

from mech_music.metrics.metric import Metric
from mech_music.results.canvas import Sheet
from mech_music.results.tables import ABOVE, BELOW, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FADED = (
    "Dots: {} above every control, prompt by prompt (family-wise over the table); rings: below every one. Faded: not "
    "told apart from the controls."
)
_FADE = 0.4
_MARKS: dict[int, dict[str, Any]] = {
    ABOVE: {"marker": "."},
    BELOW: {"marker": "o", "markerfacecolor": "none", "markeredgewidth": 0.6},
}


@dataclass(frozen=True)
class Cells:
    """The lines of one map: ``rows`` and ``columns`` are the values of the axes ``down`` and ``across`` in order.

    ``most``: the end of a signed scale, where several maps share it. ``digits``: of the numbers in the cells.
    """

    lines: Sequence[Line]
    down: str
    rows: Sequence[str]
    across: str
    columns: Sequence[str]
    measure: str
    most: float | None = None
    digits: int = 1

    def of(self, name: str, missing: float) -> np.ndarray:
        """One column of the lines as ``[row, column]``."""
        values = np.full((len(self.rows), len(self.columns)), missing)
        for line in self.lines:
            values[self.rows.index(line[self.down]), self.columns.index(line[self.across])] = line[name]
        return values


def sheet(columns: int, rows: int, panels: int) -> Sheet:
    """A sheet on which that many cells can be read."""
    return Sheet(
        panels=panels,
        width=min(11.0, max(5.5, 2.2 + 0.42 * columns)),
        height=max(3.0, 1.2 + panels * (0.5 + 0.31 * rows)),
    )


def draw(axes: Axes, cells: Cells, words: Sequence[str], measure: Metric, signed: bool, fades: bool) -> None:
    """One measure's cells, the rows named by ``words``.

    ``signed``: coloured to both sides of 0, and marked. ``fades``: those that are not told apart from their controls
    are lighter.
    """
    values, verdicts = cells.of(cells.measure, np.nan), cells.of("verdict", 0.0).astype(int)
    most = cells.most or float(np.nan_to_num(np.abs(values)).max()) or 1.0
    scale: dict[str, Any] = (
        {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if signed else {"cmap": "cividis", "vmax": 0.0}
    )
    # Of each cell: Matplotlib takes them, but its types do not say so.
    shown: Any = np.where(np.isin(verdicts, (ABOVE, BELOW)), 1.0, _FADE) if fades else np.ones(values.shape)
    image = axes.imshow(values, aspect="auto", alpha=shown, **scale)
    _ticks(axes, cells.columns)
    axes.set_yticks(range(len(words)), words)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar: Any = ScalarMappable(image.norm, image.cmap)  # in full colours, whatever fades
    unit = f"\n({measure.unit})" if measure.unit else ""
    axes.figure.colorbar(bar, ax=axes, label=f"{measure.name}{unit}", pad=0.01, aspect=8)
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        ink = _ink(image, value, shown[row, column])
        if signed and (mark := _MARKS.get(int(verdicts[row, column]))):
            axes.plot(column, row + 0.34, color=ink, markersize=4, **mark)
        if len(cells.columns) <= 16:
            text = f"{value:+.{cells.digits}f}".replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)


def _ticks(axes: Axes, layers: Sequence[str]) -> None:
    """Layer names below the cells, every other one if there are many; a gap before sets of layers."""
    n_single = sum(layer.isdecimal() for layer in layers)
    step = max(1, -(-n_single // 26))
    at = [*range(0, n_single, step), *range(n_single, len(layers))]
    axes.set_xticks(at, [layers[i] for i in at])
    for label in axes.get_xticklabels()[len(range(0, n_single, step)) :]:
        label.set_rotation(0 if len(layers) <= 16 else 30)
        label.set_horizontalalignment("center" if len(layers) <= 16 else "right")
    if 0 < n_single < len(layers):
        axes.axvline(n_single - 0.5, color="white", linewidth=4)


def _ink(image: Any, value: float, alpha: float) -> str:
    """Black or white, whichever is read more easily on the colour of a value, which may be faded."""
    red, green, blue = (alpha * part + 1 - alpha for part in image.cmap(image.norm(value))[:3])
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "black"
