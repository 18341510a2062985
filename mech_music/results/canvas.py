"""The one style of all figures: sheets, colours, words, captions, and files that are the same each time.

Colours are those of Okabe and Ito, which people with colour-blindness tell apart. How a control is drawn is declared
with it (`Role`), what a measure is called with its function (`Metric`).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mech_music.base.atomic import replacing
from mech_music.metrics.metric import Metric
from mech_music.results.columns import Role
from mech_music.results.tables import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"mlp": "#D55E00", "sa": "#0072B2", "ca": "#009E73", "resid": "#CC79A7"}
OTHER_COLOUR = "#555555"
LENS_COLOURS = {"decoder": "#0072B2", "tuned": "#D55E00"}
LENS_WORDS = {"decoder": "DecoderLens", "tuned": "tuned lens"}
READING_WORDS = {"free": "along its own tokens", "forced": "along the full model's tokens"}
POINT_WORDS = {
    "mlp": "after the layer",
    "resid": "after the layer",
    "sa": "after self-attention",
    "ca": "after cross-attention",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COMPONENT_WORDS = {"mlp": "MLP", "sa": "self-attention", "ca": "cross-attention", "resid": "residual stream"}
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "savefig.dpi": 150.0,
    "svg.hashsalt": "mech_music",
    "svg.fonttype": "none",
}
_TITLE: dict[str, Any] = {"fontweight": "bold", "fontsize": 11}
_CAPTION: dict[str, Any] = {"fontsize": 7.5, "color": "#333333"}


class Sheet:
    """One figure in the making: panels in rows, by default below each other, a title above and a caption below.

    Use as a context manager, which holds the style; ``save`` inside it.
    """

    def __init__(
        self,
        panels: int,
        width: float = 7.0,
        height: float = 5.2,
        columns: int = 1,
        share_x: bool = True,
        share_y: bool | Literal["row"] = False,
    ) -> None:
        self._style = mpl.rc_context(cast(Any, _STYLE))
        self._style.__enter__()
        self.figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self.figure)
        rows = -(-panels // columns)
        grid = self.figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False)
        self.axes: list[Axes] = list(grid.flat[:panels])
        for spare in grid.flat[panels:]:
            spare.remove()

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, *exception: object) -> None:
        self._style.__exit__(None, None, None)

    def words(self, title: str, caption: str) -> None:
        """Title above, then one legend for all panels, the panels, and the caption, wrapped to the sheet."""
        width, height = self.figure.get_size_inches()
        above, below = textwrap.wrap(title, int(width * 11)), textwrap.wrap(caption, int(width * 17))
        head, foot = (len(above) * 0.2 + 0.12) / height, (len(below) * 0.155 + 0.1) / height
        self.figure.text(0.5, 1 - 0.06 / height, "\n".join(above), ha="center", va="top", **_TITLE)
        self.figure.text(0.012, 0.06 / height, "\n".join(below), va="bottom", **_CAPTION)
        legend = self._legend(1 - head) / height
        middle = (0.0, foot, 1.0, 1.0 - head - foot - legend)
        cast(ConstrainedLayoutEngine, self.figure.get_layout_engine()).set(rect=middle)

    def _legend(self, top: float) -> float:
        """One legend for all panels, the effects first and the references after them; its height, inches."""
        found: dict[str, Any] = {}
        for axes in self.axes:
            found |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        labels = sorted(found, key=lambda label: label.startswith(("control", "ideal")))
        if not labels:
            return 0.0
        columns = 3 if len(labels) > 4 else 2
        anchor: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, top), "borderaxespad": 0.0}
        handles = [found[label] for label in labels]
        self.figure.legend(handles, labels, ncols=columns, columnspacing=1.2, **anchor).set_in_layout(False)
        return 0.17 * -(-len(labels) // columns) + 0.1

    def save(self, folder: Path, name: str) -> list[Path]:
        """``<name>.png`` and ``<name>.svg`` in ``folder``, atomically and without dates.

        Each names the program that made it, by which it is known when the run is repeated.
        """
        paths = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
        facts = {"Software": "mech_music"}, {"Date": None, "Creator": "mech_music"}
        for path, metadata in zip(paths, facts, strict=True):
            with replacing(path) as partial:
                self.figure.savefig(partial, metadata=metadata)
        return paths


def colour(component: str) -> str:
    """The colour of a component; one grey for any other word."""
    return COLOURS.get(component, OTHER_COLOUR)


def control_style(control: Role) -> dict[str, Any]:
    """How the line of a control is drawn."""
    return {"color": control.colour, "linestyle": (0, control.dash), "label": control.label}


def layer_curve(axes: Axes, lines: Sequence[Line], metric: str, x: str = "layer", **style: Any) -> None:
    """A mean against the layer (or another axis of numbers) with its band; fainter where the line is dashed."""
    own = sorted(lines, key=lambda line: float(line[x]))
    at = [float(line[x]) for line in own]
    mean, low, high = (np.array([line[metric + end] for line in own], float) for end in ("", "_low", "_high"))
    look: dict[str, Any] = {"linewidth": 1.4, "marker": "o", "markersize": 3 if len(at) <= 24 else 2}
    axes.plot(at, mean, **look | style)
    axes.fill_between(at, low, high, color=style["color"], alpha=0.08 if "linestyle" in style else 0.18, linewidth=0)


def upright_label(metric: Metric) -> str:
    """A metric's label beside a panel, in lines that are no longer than a panel is high."""
    return "\n".join(part for line in metric.label.split("\n") for part in textwrap.wrap(line, 34))


def layer_ticks(axes: Axes, lines: Sequence[Line]) -> None:
    """At most nine numbers of layers."""
    layers = sorted({int(line["layer"]) for line in lines})
    axes.set_xticks(layers[:: max(1, -(-len(layers) // 8))])


def front(axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> None:
    """The edge of what the points reach, where more is better of both: none is above and right of one on it."""
    points = sorted({(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b)}, reverse=True)
    best, edge = -np.inf, []
    for a, b in points:
        if b > best:
            best = b
            edge.append((a, b))
    if len(edge) > 1:
        style: dict[str, Any] = {"color": "black", "linewidth": 1.3, "alpha": 0.5, "zorder": 2}
        axes.plot(
            *zip(*edge[::-1], strict=True), drawstyle="steps-pre", label="front: no point better in both", **style
        )


def room(
    limits: tuple[float, float], lines: Sequence[Line], name: str, others: Sequence[str] = ()
) -> tuple[float, float]:
    """Limits of an axis that leave most of it to the means of ``name``, and of ``others`` (controls) beside them.

    Intervals are shown whole unless a few of them are much wider than most: those are cut at the frame.
    """
    mean, low, high = (np.array([line[name + end] for line in lines], float) for end in ("", "_low", "_high"))
    points = np.concatenate([mean, *(np.array([line[other] for line in lines], float) for other in others)])
    reach = np.maximum(high - mean, mean - low)
    if not np.isfinite(reach).any():
        return limits
    beyond = 1.5 * float(np.nanmedian(reach))
    return max(limits[0], float(np.nanmin(points)) - beyond), min(limits[1], float(np.nanmax(points)) + beyond)


def level(axes: Axes, height: float, label: str) -> None:
    """A dotted level where the data is; one beyond the limits is said at the edge, and the data keeps its room."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    if low <= height <= high:
        axes.axhline(height, color="black", linewidth=0.9, linestyle=":", label=label)
        return
    above = height > high
    words = f"{'↑' if above else '↓'} {label}: {height:.2f}".replace("-", "−")
    where: dict[str, Any] = {"ha": "right", "va": "top" if above else "bottom", "fontsize": 7.5}
    paper: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.text(0.995, 0.99 if above else 0.01, words, transform=axes.transAxes, bbox=paper, zorder=6, **where)


def zeros(axes: Axes) -> None:
    """Thin lines at 0 in both directions; the limits stay those of the data."""
    x, y = axes.get_xlim(), axes.get_ylim()
    axes.axvline(0, color="black", linewidth=0.6, zorder=0)
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)
    axes.set_xlim(x)
    axes.set_ylim(y)


def how_measured(lines: Sequence[Line]) -> str:
    """The caption's facts: interval level, number of clips, failures."""
    sizes = sorted({line["n"] for line in lines})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    failed = sum(line["failed"] for line in lines)
    text = f"Means over prompts with {100 * lines[0]['level']:g} % bootstrap intervals, n = {n} clips each"
    return text + (f" ({failed} clips failed and are left out)." if failed else ".")


def telling(summary: pd.DataFrame, line: Line, keys: Sequence[str]) -> list[str]:
    """What a file's name says to tell one figure of a summary from its neighbours: ``seed-3``."""
    return [f"{key}-{line[key]}" for key in keys if len(set(summary[key])) > 1]


def file_name(*words: object) -> str:
    """Words joined to a name that every file system takes."""
    joined = "_".join(str(word) for word in words if str(word))
    return re.sub(r"-*[^\w+.-]+", "-", joined).replace("-_", "_")
