"""The figure of self-similarity: every layer with every other (figure 3), and with the last one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"distance": "viridis_r", "cosine": "viridis", "cka": "viridis"}
_COLOUR = "#0072B2"


def layer_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Each measure as a map of layer × layer, and its course towards the last layer: one per model and point."""
    paths = []
    for lines in blocks_of(summary, SELF_SIMILARITY.axes_beside("layer", "other", "concept")):
        layers = sorted({int(line["layer"]) for line in lines} | {int(line["other"]) for line in lines})
        with Sheet(6, width=9.6, height=5.9, columns=3, share_x=False) as sheet:
            for place, measure in enumerate(SELF_SIMILARITY.metrics):
                _map(sheet.axes[place], lines, layers, measure)
                _towards_last(sheet.axes[3 + place], lines, layers, measure)
            first = lines[0]
            where = canvas.POINT_WORDS[first["component"]]
            concepts = sorted({line["concept"] for line in lines})
            title = f"How alike layers are: residual stream {where}, model {first['model']}"
            sheet.words(title, _caption(first, concepts))
            telling = canvas.telling(summary, first, ("component", "half", "duration", "seed", "prompts"))
            paths += sheet.save(folder, canvas.file_name("similarity", first["model"], *telling))
    return paths


def _caption(line: Line, concepts: list[str]) -> str:
    return (
        f"Means over steps and prompts (n = {line['n']} of each of {len(concepts)} concepts: {', '.join(concepts)}). "
        f"Bands below: the widest of the concepts' {100 * line['level']:g} % bootstrap intervals. Control: the last "
        "layer half a clip later; a similarity that is left there does not depend on what is being played."
    )


def _mean(lines: list[Line], role: str, measure: str) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Over concepts: the mean, and the ends of the widest interval."""
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for line in lines:
        if line["role"] == role:
            values = line[measure], line[f"{measure}_low"], line[f"{measure}_high"]
            found.setdefault((int(line["layer"]), int(line["other"])), []).append(values)
    ends = {pair: np.array(values).T for pair, values in found.items()}
    return {pair: (float(mean.mean()), float(low.min()), float(high.max())) for pair, (mean, low, high) in ends.items()}


def _map(axes: Axes, lines: list[Line], layers: list[int], measure: str) -> None:
    values = np.full((len(layers), len(layers)), np.nan)
    for (a, b), (mean, _, _) in _mean(lines, "layers", measure).items():
        values[layers.index(a), layers.index(b)] = values[layers.index(b), layers.index(a)] = mean
    scale: dict[str, Any] = {"vmin": 0.0} if measure == "distance" else {"vmax": 1.0}
    image = axes.imshow(values, origin="lower", cmap=_COLOURS[measure], **scale)
    ticks = range(0, len(layers), max(1, -(-len(layers) // 8)))
    axes.set_xticks(ticks, [str(layers[at]) for at in ticks])
    axes.set_yticks(ticks, [str(layers[at]) for at in ticks])
    axes.set_title(SELF_SIMILARITY.metric(measure).title, fontsize=9, fontweight="normal")
    axes.set_xlabel("layer")
    axes.set_ylabel("layer")
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03)


def _towards_last(axes: Axes, lines: list[Line], layers: list[int], measure: str) -> None:
    last = layers[-1]
    control = canvas.control_style(SELF_SIMILARITY.role("moved"))
    effect = {"color": _COLOUR, "label": "layer and last layer"}
    styles: dict[str, dict[str, Any]] = {"layers": effect, "moved": control}
    for role, style in styles.items():
        course = {a: ends for (a, b), ends in _mean(lines, role, measure).items() if b == last}
        x = sorted(course)
        mean, low, high = np.array([course[layer] for layer in x]).T
        axes.plot(x, mean, marker="o", markersize=3 if len(x) <= 24 else 2, linewidth=1.4, **style)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    axes.set_xticks(layers[:: max(1, -(-len(layers) // 8))])
    axes.set_xlabel("layer")
    axes.set_ylabel(f"{SELF_SIMILARITY.metric(measure).title}\nto layer {last}")
