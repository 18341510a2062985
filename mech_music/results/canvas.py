"""The one style of all figures: sheets, colours, words, captions, and files that are the same each time.

Colours are those of Okabe and Ito, which people with colour-blindness tell apart; controls are grey, each with
a dash of its own.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mech_music.store.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line: TypeAlias = Mapping[str, Any]

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
CONTROL_COLOUR = "#777777"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CONTROL_DASHES: dict[str, Any] = {"self": (0, (6, 2)), "random": (0, (1.5, 1.5)), "noise": (0, (6, 1.5, 1, 1.5))}
CONTROL_MARKERS = {"self": "x", "random": "+", "noise": "*"}
CONTROL_WORDS = {
    "self": "control: own mean (damage)",
    "random": "control: random direction",
    "noise": "control: another seed (noise)",
    "other": "control: prompts without it",
    "moved": "control: half a clip later",
}
COMPONENT_WORDS = {"mlp": "MLP", "sa": "self-attention", "ca": "cross-attention", "resid": "residual stream"}
MEASURES = {
    "effectiveness": "effectiveness (nats)\nup: nearer to desired",
    "precision": "precision (nats)\n0: no other label moved",
}
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
        """``<name>.png`` and ``<name>.svg`` in ``folder``, atomically and without dates."""
        paths = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
        for path, metadata in zip(paths, ({"Software": None}, {"Date": None, "Creator": None}), strict=True):
            with replacing(path) as partial:
                self.figure.savefig(partial, metadata=metadata)
        return paths


def colour(component: str) -> str:
    """The colour of a component; one grey for any other word."""
    return COLOURS.get(component, OTHER_COLOUR)


def title_of(line: Line) -> str:
    """``guitar → piano: replace, MLP, model tiny``."""
    component = COMPONENT_WORDS.get(line["component"], line["component"])
    return f"{line['original']} → {line['desired']}: {line['technique']} at the {component}, model {line['model']}"


def how_measured(lines: Sequence[Line], controls: Sequence[str]) -> str:
    """The caption's facts: interval level, number of clips, failures, controls."""
    sizes = sorted({line["n"] for line in lines})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    failed = sum(line["failed"] for line in lines)
    text = f"Means over prompts with {100 * lines[0]['level']:g} % bootstrap intervals, n = {n} clips each"
    text += f" ({failed} clips failed and are left out)." if failed else "."
    return text + ("" if controls else " No controls were run.")


def file_name(*words: object) -> str:
    """Words joined to a name that every file system takes."""
    joined = "_".join(str(word) for word in words if str(word))
    return re.sub(r"-*[^\w+.-]+", "-", joined).replace("-_", "_")
