"""An interchange over several pairs: means over pairs by layer, each component beside its controls, and the trade-off
of these means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd

from mech_music.metrics.measures import EFFECTIVENESS, PRECISION
from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.columns import Role, layer_order
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.interchange.columns import AXES
from mech_music.tasks.interchange.controls import beside_controls, controls_run
from mech_music.tasks.interchange.figures import MEASURES, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ends: TypeAlias = tuple[float, float, float]
_ORDER = ("mlp", "sa", "ca", "resid")
_BLOCK = [axis for axis in AXES if axis not in ("role", "layer", "component", "technique", "original", "desired")]
_LINES: tuple[dict[str, Any], ...] = (
    {"linestyle": "-", "marker": "o"},
    {"linestyle": (0, (5, 2)), "marker": "s", "markerfacecolor": "white"},
    {"linestyle": (0, (1, 1.5)), "marker": "^"},
    {"linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "D", "markerfacecolor": "white"},
)


def pooled_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Effectiveness and precision against layer, means over pairs, a column for each component."""
    controls, paths = controls_run(summary), []
    for lines in _blocks(summary):
        components = [name for name in _ORDER if name in {line["component"] for line in lines}]
        columns = len(components)
        with Sheet(
            2 * columns, width=1.4 + 2.9 * columns, height=5.4, columns=columns, share_x=False, share_y="row"
        ) as sheet:
            for place, measure in enumerate(MEASURES):
                for column, component in enumerate(components):
                    axes = sheet.axes[place * columns + column]
                    own = [line for line in lines if line["component"] == component]
                    _curves(axes, own, measure.name, controls)
                    if place == 0:
                        axes.set_title(canvas.COMPONENT_WORDS[component], fontsize=9, fontweight="normal")
                    else:
                        axes.set_xlabel("layer edited")
                sheet.axes[place * columns].set_ylabel(measure.label)
            sheet.words(_title(lines, _others(summary)), _caption(lines, controls, f"{_bands(lines)}. "))
            paths += sheet.save(folder, _name("pooled", summary, lines[0]))
    return paths


def pooled_tradeoff(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Precision against effectiveness, means over pairs, every layer of every intervention a point."""
    controls, paths = controls_run(summary), []
    for lines in _blocks(summary):
        with Sheet(1, height=5.6) as sheet:
            (axes,) = sheet.axes
            for control in controls:
                course = [_course(lines, measure.name, control.name) for measure in MEASURES]
                x, y = ([ends[0] for ends in values.values()] for values in course)
                marker: dict[str, Any] = {"marker": control.marker, "s": 22, "linewidth": 0.8}
                axes.scatter(x, y, color=control.colour, label=control.label, **marker)
            techniques = _techniques(lines)
            for component, technique in sorted({(line["component"], line["technique"]) for line in lines}):
                own = [line for line in lines if (line["component"], line["technique"]) == (component, technique)]
                _points(axes, own, component, technique, techniques)
            canvas.front(axes, *_means(lines))
            axes.set_xlabel(f"{EFFECTIVENESS.title} → nearer the desired concept")
            axes.set_ylabel(PRECISION.label)
            canvas.zeros(axes)
            words = f"{_caption(lines, controls)} Numbers are layers. Up and right is better."
            sheet.words(_title(lines, _others(summary)), words)
            paths += sheet.save(folder, _name("pooled-tradeoff", summary, lines[0]))
    return paths


# -- means over pairs --------------------------------------------------------------------------------------


def _blocks(summary: pd.DataFrame) -> list[list[Line]]:
    """The effects of several pairs beside their controls, single layers only."""
    effects = beside_controls(summary).dropna(subset=["effectiveness"])
    single = cast(pd.DataFrame, effects[effects["layer"].str.isdecimal()])
    blocks = blocks_of(single, _BLOCK)
    return [lines for lines in blocks if len(_pairs(lines)) > 1 and len({line["layer"] for line in lines}) > 1]


def _pairs(lines: Sequence[Line]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((line["original"], line["desired"]) for line in lines))


def _techniques(lines: Sequence[Line]) -> list[str]:
    return sorted({line["technique"] for line in lines}, key=lambda name: (name != "replace", name))


def _course(lines: Sequence[Line], measure: str, control: str = "") -> dict[int, Ends]:
    """By layer: the mean over pairs with its interval over prompts, of the effects or of a control."""
    column = f"{control}_pooled_{measure}" if control else f"pooled_{measure}"
    ordered = sorted(lines, key=lambda line: layer_order(line["layer"]))
    return {int(line["layer"]): (line[column], line[f"{column}_low"], line[f"{column}_high"]) for line in ordered}


# -- marks -------------------------------------------------------------------------------------------------


def _curves(axes: Axes, lines: Sequence[Line], measure: str, controls: Sequence[Role]) -> None:
    for control in controls:
        style = {"linewidth": 1.0, **canvas.control_style(control)}
        _band(axes, _course(lines, measure, control.name), **style)
    shade, techniques = canvas.colour(lines[0]["component"]), _techniques(lines)
    for technique, look in zip(techniques, _LINES, strict=False):
        own = [line for line in lines if line["technique"] == technique]
        many = len({line["layer"] for line in own}) > 24
        for pair in _pairs(own) if len(_pairs(own)) < 4 else []:  # few enough to be told apart
            single = sorted(
                (line for line in own if (line["original"], line["desired"]) == pair), key=lambda e: int(e["layer"])
            )
            x, y = [int(line["layer"]) for line in single], [line[measure] for line in single]
            axes.plot(x, y, color=shade, linewidth=0.6, alpha=0.45, linestyle=look["linestyle"])
        _band(axes, _course(own, measure), color=shade, markersize=2.5 if many else 4, **look)
        axes.plot([], [], color="black", label=technique, **look)  # one legend for columns of several colours
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)
    layers = sorted({int(line["layer"]) for line in lines})
    axes.set_xticks(layers[:: max(1, -(-len(layers) // 8))])


def _band(axes: Axes, course: Mapping[int, Ends], **style: Any) -> None:
    mean, low, high = np.array(list(course.values())).T
    look: dict[str, Any] = {"linewidth": 1.5} | style
    axes.plot(list(course), mean, **look)
    axes.fill_between(list(course), low, high, color=style["color"], alpha=0.15, linewidth=0)


def _means(lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray]:
    """Effectiveness and precision of all points: a layer of a component under a technique."""
    own: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        own.setdefault((line["component"], line["technique"]), []).append(line)
    courses = [[_course(some, measure.name) for measure in MEASURES] for some in own.values()]
    x, y = ([ends[0] for course in courses for ends in course[at].values()] for at in (0, 1))
    return np.array(x), np.array(y)


def _points(axes: Axes, lines: Sequence[Line], component: str, technique: str, techniques: Sequence[str]) -> None:
    shade, look = canvas.colour(component), _LINES[techniques.index(technique) % len(_LINES)]
    x, y = _course(lines, "effectiveness"), _course(lines, "precision")
    at = np.array([(x[layer][0], y[layer][0]) for layer in x])
    label = f"{canvas.COMPONENT_WORDS[component]}, {technique}"
    marks = {key: value for key, value in look.items() if key != "linestyle"}
    axes.plot(*at.T, color=shade, linewidth=0.7, alpha=0.25, linestyle=look["linestyle"])
    axes.plot(*at.T, color=shade, linestyle="none", markersize=5, label=label, **marks)
    named = list(x) if len(x) <= 12 else [min(x), max(x), max(x, key=lambda layer: x[layer][0])]
    for layer in named:
        where = (x[layer][0], y[layer][0])
        axes.annotate(str(layer), where, (4, 3), textcoords="offset points", fontsize=7, color=shade)


# -- words -------------------------------------------------------------------------------------------------


def _title(lines: Sequence[Line], others: Sequence[str]) -> str:
    return f"Interchange, mean of {len(_pairs(lines))} pairs: model {lines[0]['model']}" + told(lines[0], others)


def _bands(lines: Sequence[Line]) -> str:
    thin = "Thin: each pair. " if len(_pairs(lines)) < 4 else ""
    return f"{thin}Bands: {100 * lines[0]['level']:g} % bootstrap-t intervals over prompts, for these pairs"


def _caption(lines: Sequence[Line], controls: Sequence[Role], bands: str = "") -> str:
    pairs = _pairs(lines)
    named = ", ".join(f"{original} → {desired}" for original, desired in pairs[:6])
    more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
    n = sorted({line["n"] for line in lines})
    clips = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    text = f"Means over pairs of the means over {clips} clips. {bands}Pairs: {named}{more}."
    return text + ("" if controls else " No controls were run.")


def _name(kind: str, summary: pd.DataFrame, line: Line) -> str:
    return canvas.file_name(kind, line["model"], *(f"{key}-{line[key]}" for key in _others(summary)))


def _others(summary: pd.DataFrame) -> list[str]:
    """The axes of a block that no title names, and in which lines differ."""
    return [key for key in _BLOCK if key != "model" and len(set(summary[key])) > 1]
