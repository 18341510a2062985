"""The figures of an interchange as Vélez Vásquez, Pouw, Burgoyne and Zuidema (ISMIR 2024) print them, with intervals
and controls: by layer (figure 4; of several sizes, 7 and 8), first, intermediate and final layers (figure 5), original
and desired concept apart (figures 6 and 9).

Each draws what there is: any models, components and techniques, means over the run's pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mech_music.metrics.measures import EFFECTIVENESS, IDEAL_PRECISION, PRECISION
from mech_music.prompts.declared import by_category
from mech_music.results import beside, canvas
from mech_music.results.canvas import Sheet
from mech_music.results.columns import Role
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.interchange.columns import AXES
from mech_music.tasks.interchange.controls import controls_run
from mech_music.tasks.interchange.figures import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mech_music.metrics.metric import Metric

_PARTS = {"effectiveness": "combined", "effectiveness_original": "original", "effectiveness_desired": "desired"}
_SHOWN = (*_PARTS, "precision", "pooled_effectiveness", "pooled_precision")
_PAIRED = ("original", "desired")
_COMPONENTS = ("mlp", "sa", "ca", "resid")
_SIZES = ("small", "medium", "large")
_DASHES: dict[str, Any] = {"replace": "-", "adjust": (0, (4, 1.5))}
_OTHER_DASHES: tuple[Any, ...] = ((0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = {"mlp": "^", "sa": "o", "ca": "X", "resid": "D"}
_KIND_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#555555")
_WIDE = "no narrower than its own would be"


def component_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Effectiveness and precision against layer, a line for each component and technique (figure 4): one per model."""
    paths = []
    for lines in _blocks(summary, "layer", "component", "technique", *_PAIRED):
        if len(_values(lines, "component")) < 2 or len(_layers(lines)) < 2:
            continue
        with Sheet(2, width=9.6, height=4.6, columns=2) as sheet:
            for axes, measure, letter in zip(sheet.axes, MEASURES, "AB", strict=True):
                _curves(axes, lines, measure, controls_run(summary))
                axes.set_title(f"{letter}. {measure.title}", fontsize=9, fontweight="normal", loc="left")
                axes.set_xlabel("layer edited")
            title = f"Interchange by component, mean of {_pairs(lines)}: model {lines[0]['model']}"
            sheet.words(title + _told(summary, lines[0]), _curve_caption(lines, controls_run(summary)))
            paths += sheet.save(folder, _name("components", summary, lines[0]["model"], lines[0]))
    return paths


def size_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """One measure against layer, a row for each model, a column for each technique (figures 7 and 8)."""
    paths = []
    for lines in _blocks(summary, "model", "layer", "component", "technique", *_PAIRED):
        models, techniques = _models(lines), _techniques(lines)[::-1]
        if len(models) * len(techniques) < 2 or len(_values(lines, "component")) < 2 or len(_layers(lines)) < 2:
            continue
        for measure in MEASURES:
            size: dict[str, float] = {"width": 1.2 + 4.4 * len(techniques), "height": 1.6 + 2.3 * len(models)}
            panels = len(models) * len(techniques)
            with Sheet(panels, **size, columns=len(techniques), share_x=False, share_y="row") as sheet:
                places = [(model, technique) for model in reversed(models) for technique in techniques]
                for axes, (model, technique) in zip(sheet.axes, places, strict=True):
                    own = [line for line in lines if (line["model"], line["technique"]) == (model, technique)]
                    if own:
                        _curves(axes, own, measure, controls_run(summary))
                    axes.set_title(f"{model}, {technique}", fontsize=9, fontweight="normal", loc="left")
                for axes in sheet.axes[:: len(techniques)]:
                    axes.set_ylabel(measure.label)
                for axes in sheet.axes[-len(techniques) :]:
                    axes.set_xlabel("layer edited")
                title = f"{measure.name.capitalize()} by size, mean of {_pairs(lines)}"
                sheet.words(title + _told(summary, lines[0]), _curve_caption(lines, controls_run(summary)))
                paths += sheet.save(folder, _name(f"sizes_{measure.name}", summary, "+".join(models), lines[0]))
    return paths


def depth_tradeoff(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Precision against effectiveness of the first layer, the intermediate ones' mean and the final layer (figure 5).

    A point for each of them, model and technique; a panel for each component.
    """
    paths, controls = [], controls_run(summary)
    for lines in _blocks(summary, "model", "layer", "component", "technique", *_PAIRED):
        components = [name for name in _COMPONENTS if name in _values(lines, "component")]
        if len(_layers(lines)) < 3:
            continue
        size: dict[str, float] = {"width": max(6.4, 1.0 + 3.9 * len(components)), "height": 5.2}
        with Sheet(len(components), **size, columns=len(components), share_x=False, share_y="row") as sheet:
            for axes, component in zip(sheet.axes, components, strict=True):
                own = [line for line in lines if line["component"] == component]
                _depths(axes, own, controls)
                axes.set_title(canvas.COMPONENT_WORDS[component], fontsize=9, fontweight="normal")
                axes.set_xlabel(f"{EFFECTIVENESS.title}\n→ nearer the desired concept")
                axes.margins(0.12)
                axes.set_xlim(canvas.room(axes.get_xlim(), own, "pooled_effectiveness"))
                axes.set_ylim(canvas.room(axes.get_ylim(), own, "pooled_precision"))
                canvas.level(axes, _mean(own, "ideal_precision"), IDEAL_PRECISION.title)
                canvas.zeros(axes)
            sheet.axes[0].set_ylabel(PRECISION.label)
            caption = (
                f"b: first layer, i: mean of the layers between, e: last layer; {_pairs(lines)}, {_clips(lines)}. "
                f"Bars: {100 * lines[0]['level']:g} % intervals; of i, the mean of the layers' intervals, {_WIDE}. "
            )
            caption += "Controls: of the layers between. Up and right is better." if controls else "No controls."
            models = "+".join(_models(lines))
            sheet.words(f"First, intermediate and last layers: model {models}{_told(summary, lines[0])}", caption)
            paths += sheet.save(folder, _name("depths", summary, models, lines[0]))
    return paths


def kind_bars(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Effectiveness and its two parts for each kind of pair, means over layers (figures 6 and 9): a panel per model.

    One sheet for each component and technique; only where pairs are of several kinds.
    """
    paths, controls = [], controls_run(summary)
    for lines in _blocks(summary, "model", "layer", *_PAIRED):
        kinds, models = _kinds(lines), _models(lines)
        if len(kinds) < 2:
            continue
        size: dict[str, float] = {"width": max(6.4, 1.0 + 4.2 * len(models)), "height": 4.6}
        with Sheet(len(models), **size, columns=len(models), share_x=False, share_y="row") as sheet:
            for axes, model in zip(sheet.axes, models, strict=True):
                for number, (kind, pairs) in enumerate(kinds.items()):
                    own = [line for line in lines if line["model"] == model and _pair(line) in pairs]
                    if own:
                        _bars(axes, own, kind, (number, len(kinds)), controls)
                axes.axhline(0, color="black", linewidth=0.6)
                axes.axvline(0.5, color="black", linewidth=0.7, linestyle=(0, (4, 3)))
                axes.set_xticks(range(len(_PARTS)), list(_PARTS.values()))
                axes.set_title(model, fontsize=9, fontweight="normal")
            sheet.axes[0].set_ylabel(EFFECTIVENESS.label)
            first = lines[0]
            title = f"What became of either concept: {first['technique']} at the {_component(first)}"
            caption = (
                f"Means over {len(_layers(lines))} layers and {_pairs(lines)}, {_clips(lines)}. Whiskers: the mean of "
                f"the {100 * first['level']:g} % intervals of single layers and pairs, {_WIDE}. Combined: both parts."
            )
            caption += " Marks: the same means of the controls." if controls else " No controls were run."
            sheet.words(title + _told(summary, first), caption)
            what = (first["component"], first["technique"], "+".join(models))
            paths += sheet.save(folder, _name("kinds", summary, "_".join(what), first))
    return paths


# -- what is drawn ---------------------------------------------------------------------------------------


def _blocks(summary: pd.DataFrame, *within: str) -> Iterator[list[Line]]:
    """The effects of several pairs at single layers beside their controls, in blocks that differ in ``within`` only."""
    effects = beside.beside_controls(summary, _SHOWN).dropna(subset=["effectiveness"])
    single = cast(pd.DataFrame, effects[effects["layer"].str.isdecimal() & (effects["head"] == "")])
    for lines in blocks_of(single, _keys(within)):
        if len({_pair(line) for line in lines}) > 1:
            yield lines


def _keys(within: Sequence[str]) -> list[str]:
    return [axis for axis in AXES if axis not in ("role", *within)]


def _pair(line: Line) -> tuple[str, str]:
    return line["original"], line["desired"]


def _values(lines: Sequence[Line], axis: str) -> list[str]:
    return list(dict.fromkeys(line[axis] for line in lines))


def _models(lines: Sequence[Line]) -> list[str]:
    """The published sizes first, by size."""
    return sorted(_values(lines, "model"), key=lambda name: (_SIZES.index(name) if name in _SIZES else 3, name))


def _techniques(lines: Sequence[Line]) -> list[str]:
    return sorted(_values(lines, "technique"), key=lambda name: (name != "replace", name))


def _layers(lines: Sequence[Line]) -> list[int]:
    return sorted({int(line["layer"]) for line in lines})


def _kinds(lines: Sequence[Line]) -> dict[str, set[tuple[str, str]]]:
    """Pairs by the categories of their concepts: within a category first, as the paper's legend has them."""
    names = list(dict.fromkeys(name for line in lines for name in _pair(line)))
    groups = by_category(lines[0]["prompt_set"], names)
    category = {name: kind for kind, own in groups.items() for name in own}
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for pair in dict.fromkeys(map(_pair, lines)):
        found.setdefault((category[pair[0]], category[pair[1]]), set()).add(pair)
    order = list(groups)
    places = sorted(found, key=lambda kind: (kind[0] != kind[1], order.index(kind[0]), order.index(kind[1])))
    return {f"{original} – {desired}": found[original, desired] for original, desired in places}


# -- marks -----------------------------------------------------------------------------------------------


def _curves(axes: Axes, lines: Sequence[Line], measure: Metric, controls: Sequence[Role]) -> None:
    """Components by colour, techniques by dash; thin and grey: the highest control of any of them, and the level."""
    layers, techniques = _layers(lines), _techniques(lines)
    dashes = {**dict(zip(techniques, _OTHER_DASHES * len(techniques), strict=False)), **_DASHES}
    for component in [name for name in _COMPONENTS if name in _values(lines, "component")]:
        for technique in techniques:
            own = _one_pair([line for line in lines if _site(line) == (component, technique)])
            shade = canvas.colour(component)
            look = {"color": shade, "linestyle": dashes[technique], "marker": _MARKERS[component], "markersize": 4}
            _band(axes, own, f"pooled_{measure.name}", **look, linewidth=1.4)
        label: dict[str, Any] = {"color": canvas.colour(component), "marker": _MARKERS[component]}
        axes.plot([], [], label=canvas.COMPONENT_WORDS[component], linestyle="none", **label)
    for technique in techniques if len(techniques) > 1 else []:
        axes.plot([], [], color="black", linestyle=dashes[technique], label=technique)
    for control in controls:
        column = f"{control.name}_pooled_{measure.name}"
        highest = {layer: [line[column] for line in lines if int(line["layer"]) == layer] for layer in layers}
        course = [max((value for value in own if value == value), default=np.nan) for own in highest.values()]
        axes.plot(layers, course, linewidth=0.9, zorder=1, **canvas.control_style(control))
    beside = [f"{control.name}_pooled_{measure.name}" for control in controls]
    axes.set_ylim(canvas.room(axes.get_ylim(), lines, f"pooled_{measure.name}", beside))
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)
    if measure is PRECISION:
        canvas.level(axes, _mean(lines, "ideal_precision"), IDEAL_PRECISION.title)
    canvas.layer_ticks(axes, lines)


def _one_pair(lines: Sequence[Line]) -> list[Line]:
    """Means over pairs stand beside every pair: those of the first, in order of layers."""
    first = [line for line in lines if _pair(line) == _pair(lines[0])]
    return sorted(first, key=lambda line: int(line["layer"]))


def _band(axes: Axes, lines: Sequence[Line], column: str, **style: Any) -> None:
    x = [int(line["layer"]) for line in lines]
    mean, low, high = (np.array([line[column + end] for line in lines], float) for end in ("", "_low", "_high"))
    axes.plot(x, mean, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.12, linewidth=0)


def _depths(axes: Axes, lines: Sequence[Line], controls: Sequence[Role]) -> None:
    """Of one component: three points for each model and technique, and the controls of the middle one."""
    groups = [(model, technique) for technique in _techniques(lines) for model in _models(lines)]
    for place, (model, technique) in enumerate(groups):
        own = _one_pair([line for line in lines if (line["model"], line["technique"]) == (model, technique)])
        if len(own) < 3:
            continue
        shade, marker = _KIND_COLOURS[place % len(_KIND_COLOURS)], canvas.MARKERS[place % len(canvas.MARKERS)]
        for letter, some in (("b", own[:1]), ("i", own[1:-1]), ("e", own[-1:])):
            ends = {name: [_mean(some, f"pooled_{name}{end}") for end in ("", "_low", "_high")] for name in _BOTH}
            (x, *across), (y, *upright) = ends["effectiveness"], ends["precision"]
            label = f"{model}, {technique}" if letter == "b" else None
            axes.plot(across, [y, y], color=shade, linewidth=0.8, alpha=0.45, zorder=1)
            axes.plot([x, x], upright, color=shade, linewidth=0.8, alpha=0.45, zorder=1)
            axes.plot([x], [y], marker=marker, color=shade, linestyle="none", markersize=7, label=label, zorder=3)
            axes.annotate(letter, (x, y), (5, 4), textcoords="offset points", fontsize=8, color=shade, zorder=4)
        for control in controls:
            x, y = (_mean(own[1:-1], f"{control.name}_pooled_{name}") for name in _BOTH)
            mark: dict[str, Any] = {"marker": control.marker, "color": control.colour, "label": control.label}
            axes.plot([x], [y], linestyle="none", markersize=5, zorder=2, **mark)


_BOTH = ("effectiveness", "precision")


def _bars(axes: Axes, lines: Sequence[Line], kind: str, place: tuple[int, int], controls: Sequence[Role]) -> None:
    """One kind's bars in all groups. ``place``: its number, of how many."""
    number, n = place
    shade, width = _KIND_COLOURS[number % len(_KIND_COLOURS)], 0.82 / n
    x = np.arange(len(_PARTS)) + (number - (n - 1) / 2) * width
    mean, low, high = (np.array([_mean(lines, part + end) for part in _PARTS]) for end in ("", "_low", "_high"))
    axes.bar(x, mean, width * 0.94, color=shade, label=kind, zorder=2)
    whiskers: dict[str, Any] = {"fmt": "none", "ecolor": "black", "elinewidth": 0.8, "capsize": 2, "zorder": 3}
    axes.errorbar(x, mean, yerr=[mean - low, high - mean], **whiskers)
    for control in controls:
        level = [_mean(lines, f"{control.name}_{part}") for part in _PARTS]
        mark: dict[str, Any] = {"marker": control.marker, "color": "black", "markersize": 4, "label": control.label}
        axes.plot(x, level, linestyle="none", markeredgewidth=0.8, zorder=4, **mark)


# -- words -----------------------------------------------------------------------------------------------


def _site(line: Line) -> tuple[str, str]:
    return line["component"], line["technique"]


def _component(line: Line) -> str:
    return canvas.COMPONENT_WORDS[line["component"]]


def _mean(lines: Sequence[Line], column: str) -> float:
    values = np.array([line[column] for line in lines], dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def _pairs(lines: Sequence[Line]) -> str:
    return f"{len({_pair(line) for line in lines})} pairs"


def _clips(lines: Sequence[Line]) -> str:
    sizes = sorted({line["n"] for line in lines})
    return f"{sizes[0]} clips each" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} clips each"


def _curve_caption(lines: Sequence[Line], controls: Sequence[Role]) -> str:
    text = (
        f"Means over pairs, {_clips(lines)}. Bands: {100 * lines[0]['level']:g} % bootstrap-t intervals over prompts. "
    )
    text += "Some may be cut at the frame. "
    if controls:
        return text + "Controls: at each layer the highest of all curves' own. Higher is better in both."
    return text + "No controls were run."


def _others(summary: pd.DataFrame) -> list[str]:
    """Axes that neither pictures nor their names tell, and in which the effects differ."""
    told = ("model", "layer", "component", "technique", "head", *_PAIRED)
    effects = summary[summary["role"] == "technique"]
    return [axis for axis in _keys(told) if len(set(effects[axis])) > 1]


def _told(summary: pd.DataFrame, line: Line) -> str:
    return "".join(f", {axis} {line[axis]}" for axis in _others(summary))


def _name(kind: str, summary: pd.DataFrame, what: str, line: Line) -> str:
    return canvas.file_name(kind, what, *(f"{axis}-{line[axis]}" for axis in _others(summary)))
