"""The figures of self-similarity: every layer with every other, concept by concept (figure 3 of the paper), over all
concepts, and with the last one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.prompts.declared import by_category
from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"distance": "viridis_r", "distance_of_means": "viridis_r", "cosine": "viridis", "cka": "viridis"}
_DISTANCES = ("distance_of_means", "distance")
_COLUMNS = 5
_COLOUR = "#0072B2"


def concept_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Euclidean distance as a map of layer × layer for each concept: time averaged first, as in figure 3 of Vélez
    Vásquez et al. (ISMIR 2024), and step by step below. The first layer is on top, near layers are dark, as there.
    """
    paths = []
    for lines in blocks_of(summary, SELF_SIMILARITY.axes_beside("layer", "other", "concept")):
        kinds = by_category(lines[0]["prompt_set"], [line["concept"] for line in lines])
        concepts = [(kind, concept) for kind, own in kinds.items() for concept in own]
        layers, columns = _layers(lines), min(_COLUMNS, len(concepts))
        rows = -(-len(concepts) // columns)
        width, height = max(6.6, 1.2 + 2.4 * columns), 1.4 + 2.0 * rows * len(_DISTANCES)
        n = rows * columns * len(_DISTANCES)
        with Sheet(n, width=width, height=height, columns=columns, share_x=False) as sheet:
            for block, measure in enumerate(_DISTANCES):
                panels = sheet.axes[block * rows * columns : (block + 1) * rows * columns]
                most = max(line[measure] for line in lines if line["role"] == "layers")
                for axes, (kind, concept) in zip(panels, concepts, strict=False):
                    own = [line for line in lines if line["concept"] == concept]
                    _map(axes, own, layers, measure, most)
                    axes.set_title(f"{kind}: {concept}" if kind else concept, fontsize=9, fontweight="normal")
                    axes.invert_yaxis()
                panels[0].set_ylabel(f"{SELF_SIMILARITY.metric(measure).title}\n\nlayer", fontsize=8)
                for spare in panels[len(concepts) :]:
                    spare.remove()
            where = canvas.POINT_WORDS[lines[0]["component"]]
            title = f"Distance of layers, concept by concept: residual stream {where}, model {lines[0]['model']}"
            n, mean = lines[0]["n"], "distance_of_means"
            caption = (
                f"Means over {n} prompts of each concept. Above, a clip's streams are averaged over time before they "
                "are compared, as in Vélez Vásquez et al. (2024); below, they are compared step by step, and what "
                f"changes from step to step counts too. Layers next to each other: above, {_near(lines, mean)} of that."
            )
            sheet.words(title, caption)
            told = canvas.telling(summary, lines[0], ("component", "half", "duration", "seed", "prompts"))
            paths += sheet.save(folder, canvas.file_name("distances", lines[0]["model"], *told))
    return paths


def _near(lines: list[Line], measure: str) -> str:
    """The range of ``measure`` in units of the step-by-step distance, over layers that follow each other."""
    pairs = [line for line in lines if line["role"] == "layers" and int(line["other"]) == int(line["layer"]) + 1]
    shares = [line[measure] / line["distance"] for line in pairs if line["distance"]]
    return f"{min(shares):.2f} to {max(shares):.2f}" if shares else "no part"


def layer_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Each measure as a map of layer × layer, and its course towards the last layer: one per model and point."""
    paths = []
    for lines in blocks_of(summary, SELF_SIMILARITY.axes_beside("layer", "other", "concept")):
        layers, n = _layers(lines), len(SELF_SIMILARITY.metrics)
        with Sheet(2 * n, width=3.2 * n, height=5.9, columns=n, share_x=False) as sheet:
            for place, measure in enumerate(SELF_SIMILARITY.metrics):
                _map(sheet.axes[place], lines, layers, measure)
                sheet.axes[place].set_title(SELF_SIMILARITY.metric(measure).title, fontsize=9, fontweight="normal")
                sheet.axes[place].set_ylabel("layer")
                _towards_last(sheet.axes[n + place], lines, layers, measure)
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


def _layers(lines: list[Line]) -> list[int]:
    return sorted({int(line["layer"]) for line in lines} | {int(line["other"]) for line in lines})


def _map(axes: Axes, lines: list[Line], layers: list[int], measure: str, most: float | None = None) -> None:
    """``most``: the end of the scale of distances, where several maps share it; in these, near is dark."""
    values = np.full((len(layers), len(layers)), np.nan)
    for (a, b), (mean, _, _) in _mean(lines, "layers", measure).items():
        values[layers.index(a), layers.index(b)] = values[layers.index(b), layers.index(a)] = mean
    scale: dict[str, Any] = {"vmin": 0.0, "vmax": most} if measure in _DISTANCES else {"vmax": 1.0}
    image = axes.imshow(values, origin="lower", cmap="viridis" if most else _COLOURS[measure], **scale)
    ticks = range(0, len(layers), max(1, -(-len(layers) // 8)))
    axes.set_xticks(ticks, [str(layers[at]) for at in ticks])
    axes.set_yticks(ticks, [str(layers[at]) for at in ticks])
    axes.set_xlabel("layer")
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
