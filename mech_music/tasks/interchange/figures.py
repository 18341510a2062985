"""The figures of an interchange: curves and heat maps by layer, the trade-off, dose and response."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from mech_music.metrics.measures import EFFECTIVENESS, IDEAL_PRECISION, PRECISION
from mech_music.results import canvas, heat
from mech_music.results.canvas import Sheet
from mech_music.results.columns import Role, layer_order
from mech_music.results.tables import ABOVE, Line, blocks_of, layers_of
from mech_music.results.terminal import spread
from mech_music.tasks.interchange.columns import AXES
from mech_music.tasks.interchange.controls import beside_controls, controls_run, extra_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

log = logging.getLogger(__name__)

Lines: TypeAlias = list[Line]
_BLOCK = [axis for axis in AXES if axis not in ("role", "layer")]
_NAMED = ("original", "desired", "component", "technique", "model")
_MARK = "Filled points: effectiveness above every control, prompt by prompt (family-wise over the table)."
_MOST = 12
MEASURES = (EFFECTIVENESS, PRECISION)


def layer_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Effectiveness and precision against layer, with intervals and controls: one per pair and intervention."""
    controls, measures, paths = controls_run(summary), [*MEASURES, *extra_metrics(summary)], []
    for lines in _blocks(summary, _BLOCK, "layer curves"):
        with Sheet(len(measures), height=0.4 + 2.4 * len(measures)) as sheet:
            places = _places(lines)
            for axes, measure in zip(sheet.axes, measures, strict=True):
                for number, control in enumerate(controls):
                    _control(axes, lines, places, control, measure.name, aside=0.02 + 0.015 * number)
                _effect(axes, lines, places, measure.name)
                axes.set_ylabel(canvas.upright_label(measure))
                axes.axhline(0, color="black", linewidth=0.6, zorder=0)
            _ideal(sheet.axes[1], lines)
            _layer_axis(sheet.axes[-1], places)
            title = _title(lines[0], _others(summary, _BLOCK))
            sheet.words(title, f"{_measured(lines, controls)} {_MARK if controls else ''}")
            paths += sheet.save(folder, _name("layers", summary, lines[0], _BLOCK))
    return paths


def heatmap(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Layer × component, where several components were edited: one per pair and technique."""
    words = {name: canvas.COMPONENT_WORDS[name] for name in ("mlp", "sa", "ca", "resid")}
    return _heatmap(summary, folder, "component", words)


def head_heatmap(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Layer × head, where several heads were edited: one per pair, technique and component."""
    order: list[str] = sorted(set(summary["head"]), key=layer_order)
    return _heatmap(summary, folder, "head", {head: f"head {head}" if head else "all heads" for head in order})


def _heatmap(summary: pd.DataFrame, folder: Path, down: str, words: Mapping[str, str]) -> list[Path]:
    """``words``: of the axis ``down``'s values, in their order."""
    controls, paths = controls_run(summary), []
    keys = [axis for axis in _BLOCK if axis != down]
    for lines in _blocks(summary, keys, "heatmaps"):
        rows = [value for value in words if any(line[down] == value for line in lines)]
        if len(rows) < 2:
            continue
        layers = list(_places(lines))
        with heat.sheet(len(layers), len(rows), panels=2) as sheet:
            for axes, measure in zip(sheet.axes, MEASURES, strict=True):
                shown = heat.Cells(lines, down, rows, "layer", layers, measure.name)
                signed = measure is EFFECTIVENESS
                heat.draw(axes, shown, [words[row] for row in rows], measure, signed, fades=bool(controls))
            sheet.axes[1].set_xlabel("layer")
            first = lines[0]
            title = f"{first['original']} → {first['desired']}: {first['technique']}, model {first['model']}"
            if down != "component":
                title += f", {canvas.COMPONENT_WORDS[first['component']]}"
            caption = f"{_measured(lines, controls)} {heat.FADED.format('effectiveness') if controls else ''}"
            sheet.words(title + told(first, _others(summary, keys)), caption)
            kind = "heatmap" if down == "component" else f"{down}s"
            paths += sheet.save(folder, _name(kind, summary, first, keys))
    return paths


def tradeoff(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Precision against effectiveness, every layer a point: one per pair."""
    controls, paths = controls_run(summary), []
    keys = [axis for axis in _BLOCK if axis not in ("component", "technique")]
    for lines in _blocks(summary, keys, "trade-off figures"):
        with Sheet(panels=1, height=5.6) as sheet:
            (axes,) = sheet.axes
            techniques = sorted({line["technique"] for line in lines})
            for control in controls:
                _control_cloud(axes, lines, control)
            for (component, technique), path in _paths(lines).items():
                marker = canvas.MARKERS[techniques.index(technique) % len(canvas.MARKERS)]
                _path(axes, path, f"{canvas.COMPONENT_WORDS.get(component, component)}, {technique}", marker)
            canvas.front(axes, _column(lines, "effectiveness"), _column(lines, "precision"))
            axes.set_xlabel(f"{EFFECTIVENESS.title} → nearer the desired concept")
            axes.set_ylabel(PRECISION.label)
            axes.margins(x=0.09)
            axes.set_xlim(canvas.room(axes.get_xlim(), lines, "effectiveness", _beside(controls, "effectiveness")))
            axes.set_ylim(canvas.room(axes.get_ylim(), lines, "precision", _beside(controls, "precision")))
            canvas.level(axes, float(np.nanmean(_column(lines, "ideal_precision"))), IDEAL_PRECISION.title)
            canvas.zeros(axes)
            first = lines[0]
            words = f"{_measured(lines, controls)} Numbers are layers. Up and right is better."
            title = f"{first['original']} → {first['desired']}, model {first['model']}"
            sheet.words(title + told(first, _others(summary, keys)), words)
            paths += sheet.save(folder, _name("tradeoff", summary, first, keys))
    return paths


def dose_response(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Effectiveness and precision against strength, a line a layer, where strength was swept."""
    controls, measures, paths = controls_run(summary), [*MEASURES, *extra_metrics(summary)], []
    keys = [axis for axis in _BLOCK if axis != "strength"]
    for lines in _blocks(summary, keys, "dose-response curves"):
        if len({line["strength"] for line in lines}) < 2:
            continue
        with Sheet(len(measures), height=0.8 + 2.4 * len(measures)) as sheet:
            best = max(lines, key=lambda line: line["effectiveness"])["layer"]
            at_best = [line for line in lines if line["layer"] == best]
            for axes, measure in zip(sheet.axes, measures, strict=True):
                _doses(axes, lines, measure.name)
                for control in controls:
                    _dose_control(axes, at_best, control, measure.name)
                axes.set_ylabel(canvas.upright_label(measure))
                axes.axhline(0, color="black", linewidth=0.6, zorder=0)
            sheet.axes[-1].set_xlabel("strength (factor on the edit's shift)")
            where = f"The controls are those of layer {best}. {_steepness(at_best[0])}" if controls else ""
            sheet.words(_title(lines[0], _others(summary, keys)), f"{_measured(lines, controls)} {where}")
            paths += sheet.save(folder, _name("dose", summary, lines[0], keys))
    return paths


def _title(line: Line, others: Sequence[str]) -> str:
    """``guitar → piano: steer at the MLP, model tiny, strength 2``."""
    component = canvas.COMPONENT_WORDS.get(line["component"], line["component"])
    named = f"{line['original']} → {line['desired']}: {line['technique']} at the {component}, model {line['model']}"
    return named + told(line, others)


def told(line: Line, others: Sequence[str]) -> str:
    """``, strength 2``: what tells this picture from its neighbours beside what every title says."""
    values = {key: f"{line[key]:g}" if isinstance(line[key], float) else line[key] for key in others}
    return "".join(f", {key} {value}" for key, value in values.items())


def _others(summary: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The axes of a block that no title names, and in which the effects differ."""
    effects = summary[summary["role"] == "technique"]
    return [key for key in keys if key not in _NAMED and len(set(effects[key])) > 1]


def _beside(controls: Sequence[Role], measure: str) -> list[str]:
    return [f"{control.name}_{measure}" for control in controls]


def _measured(lines: Lines, controls: Sequence[Role]) -> str:
    return canvas.how_measured(lines) + ("" if controls else " No controls were run.")


# -- what is drawn in which figure -----------------------------------------------------------------------


def _blocks(summary: pd.DataFrame, keys: Sequence[str], what: str) -> list[Lines]:
    """The effects beside their controls, block by block; only the blocks with the greatest effects if many."""
    effects = beside_controls(summary).dropna(subset=["effectiveness"])
    blocks = blocks_of(effects, keys)
    if len(blocks) <= _MOST:
        return blocks
    log.info("drawing %d of %d %s: those with the greatest effects", _MOST, len(blocks), what)
    greatest = sorted(range(len(blocks)), key=lambda at: -max(line["effectiveness"] for line in blocks[at]))
    return [blocks[at] for at in sorted(greatest[:_MOST])]


def _places(lines: Lines) -> dict[str, float]:
    """Where each layer stands on the axis: single layers at their number, sets after a gap."""
    layers = layers_of(lines)
    single = [layer for layer in layers if layer.isdecimal()]
    sets = [layer for layer in layers if not layer.isdecimal()]
    span = int(single[-1]) - int(single[0]) if single else 0
    gap = max(1.2, 0.09 * span)
    start = int(single[-1]) + gap if single else 0.0
    return {layer: float(layer) for layer in single} | {layer: start + gap * i for i, layer in enumerate(sets)}


def _name(kind: str, summary: pd.DataFrame, line: Line, keys: Sequence[str]) -> str:
    """A file name with the pair, what was edited, and whatever else tells this figure from its neighbours."""
    words = [line["component"] if "component" in keys else "", line["technique"] if "technique" in keys else ""]
    pair = f"{line['original']}-{line['desired']}"
    return canvas.file_name(
        kind, pair, *words, line["model"], *(f"{key}-{line[key]}" for key in _others(summary, keys))
    )


# -- marks -------------------------------------------------------------------------------------------------


def _steepness(line: Line) -> str:
    """What a unit of strength adds at a layer, and how much of it no control does."""
    slope, margin = (spread(line, name, "+") for name in ("slope", "slope_margin"))
    return f"Its slope is {slope} nats a unit of strength, {margin} above that of its steepest control."


def _column(lines: Lines, name: str) -> np.ndarray:
    return np.array([line[name] for line in lines], dtype=float)


def _curve(axes: Axes, lines: Lines, x: np.ndarray, name: str, **style: Any) -> None:
    """A mean with its band."""
    axes.plot(x, _column(lines, name), **style)
    band = (_column(lines, f"{name}_low"), _column(lines, f"{name}_high"))
    axes.fill_between(x, *band, color=style["color"], alpha=0.18, linewidth=0)


def _bars(axes: Axes, lines: Lines, x: np.ndarray, name: str, **style: Any) -> None:
    """Means with bars for their intervals."""
    mean = _column(lines, name)
    ends = np.abs(np.stack([_column(lines, f"{name}_low"), _column(lines, f"{name}_high")]) - mean)
    axes.errorbar(x, mean, yerr=np.nan_to_num(ends), **style)


def _split(lines: Lines) -> tuple[Lines, Lines]:
    """Single layers, which make a curve, and sets of layers; one layer alone makes none."""
    single = [line for line in lines if line["layer"].isdecimal()]
    if len(single) < 2:
        return [], lines
    return single, [line for line in lines if not line["layer"].isdecimal()]


def _effect(axes: Axes, lines: Lines, places: Mapping[str, float], measure: str) -> None:
    shade = canvas.colour(lines[0]["component"])
    single, sets = _split(lines)
    if single:
        x = np.array([places[line["layer"]] for line in single])
        _curve(axes, single, x, measure, color=shade, label=f"{lines[0]['technique']}", linewidth=1.6, zorder=4)
    if sets:
        x = np.array([places[line["layer"]] for line in sets])
        label = None if single else lines[0]["technique"]
        _bars(axes, sets, x, measure, color=shade, fmt="none", capsize=3, label=label, zorder=4)
    for line in lines:
        fill = shade if line["verdict"] == ABOVE else "white"
        marker: dict[str, Any] = {"marker": "o", "markersize": 5, "markerfacecolor": fill, "markeredgecolor": shade}
        axes.plot([places[line["layer"]]], [line[measure]], zorder=5, **marker)


def _control(axes: Axes, lines: Lines, places: Mapping[str, float], control: Role, measure: str, aside: float) -> None:
    """A control behind the effect: a level for one without a layer, a curve for those of the site.

    ``aside``: how far from its place a set of layers is drawn, as a share of the axis.
    """
    name, style = f"{control.name}_{measure}", {"linewidth": 1.1, **canvas.control_style(control)}
    if control.level:
        axes.axhline(lines[0][name], **style)
        axes.axhspan(lines[0][f"{name}_low"], lines[0][f"{name}_high"], color=control.colour, alpha=0.15, linewidth=0)
        return
    marker: dict[str, Any] = {"marker": control.marker, "markersize": 4}
    single, sets = _split(lines)
    if single:
        x = np.array([places[line["layer"]] for line in single])
        _curve(axes, single, x, name, **marker, **style)
    if sets:
        span = max(places.values()) - min(places.values()) + 1
        x = np.array([places[line["layer"]] for line in sets]) + aside * span
        bars = {"color": control.colour, "linestyle": "none", "linewidth": 1, "label": control.label}
        _bars(axes, sets, x, name, **bars | ({"label": None} if single else {}), **marker)


def _ideal(axes: Axes, lines: Lines) -> None:
    level = float(np.nanmean(_column(lines, "ideal_precision")))
    axes.axhline(level, color="black", linewidth=0.9, linestyle=":", label=IDEAL_PRECISION.title)


def _layer_axis(axes: Axes, places: Mapping[str, float]) -> None:
    single = [layer for layer in places if layer.isdecimal()]
    step = max(1, -(-len(single) // 24))
    shown = [*single[::step], *(layer for layer in places if not layer.isdecimal())]
    axes.set_xticks([places[layer] for layer in shown], shown)
    axes.set_xlabel("layer edited")
    if len(places) == 1:  # what stands beside the one place is near it
        (only,) = places.values()
        axes.set_xlim(only - 0.5, only + 0.5)


def _paths(lines: Lines) -> dict[tuple[str, str], Lines]:
    """The lines of each component and technique, in layer order."""
    found: dict[tuple[str, str], Lines] = {}
    for line in sorted(lines, key=lambda line: layer_order(line["layer"])):
        found.setdefault((line["component"], line["technique"]), []).append(line)
    return found


def _path(axes: Axes, lines: Lines, label: str, marker: str) -> None:
    """Layers of one intervention as points, joined in order; bars and names for all of them, or for a few of many."""
    shade = canvas.colour(lines[0]["component"])
    single, _ = _split(lines)
    axes.plot(_column(single, "effectiveness"), _column(single, "precision"), color=shade, linewidth=0.8, alpha=0.4)
    style: dict[str, Any] = {"color": shade, "linestyle": "none", "marker": marker, "markeredgecolor": "white"}
    x, y = _column(lines, "effectiveness"), _column(lines, "precision")
    axes.plot(x, y, label=label, markersize=6 if len(lines) <= 14 else 4, markeredgewidth=0.5, zorder=4, **style)
    named = lines if len(lines) <= 14 else _ends(lines)
    for line in named:
        at = line["effectiveness"], line["precision"]
        across = [line["effectiveness_low"], line["effectiveness_high"]], [at[1]] * 2
        upright = [at[0]] * 2, [line["precision_low"], line["precision_high"]]
        for bar in (across, upright):
            axes.plot(*bar, color=shade, linewidth=0.7, alpha=0.3, zorder=1)
        axes.annotate(line["layer"], at, (4, 3), textcoords="offset points", fontsize=7, color=shade, zorder=5)


def _ends(lines: Lines) -> Lines:
    """The lines worth a name among many: first, last, most effective, and sets."""
    single, sets = _split(sorted(lines, key=lambda line: layer_order(line["layer"])))
    best = max(lines, key=lambda line: line["effectiveness"])
    return [*single[:1], *single[-1:], best, *sets]


def _control_cloud(axes: Axes, lines: Lines, control: Role) -> None:
    x, y = _column(lines, f"{control.name}_effectiveness"), _column(lines, f"{control.name}_precision")
    style: dict[str, Any] = {"marker": control.marker, "color": control.colour, "label": control.label}
    axes.scatter(x, y, s=60 if control.level else 18, linewidth=0.8, zorder=1, **style)


def _doses(axes: Axes, lines: Lines, measure: str) -> None:
    import matplotlib as mpl

    layers = layers_of(lines)
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.9, len(layers)))
    few = len(layers) <= 8
    named = layers if few else {line["layer"] for line in _ends(lines)}
    for layer, shade in zip(layers, shades, strict=True):
        own = sorted((line for line in lines if line["layer"] == layer), key=lambda line: line["strength"])
        x, style = _column(own, "strength"), {"color": tuple(shade), "marker": "o", "markersize": 3 + few}
        if layer in named:
            label = f"layer {layer}" if layer.isdecimal() else layer
            _curve(axes, own, x, measure, label=label, **style)
        else:
            axes.plot(x, _column(own, measure), linewidth=0.6, alpha=0.6, **style)


def _dose_control(axes: Axes, lines: Lines, control: Role, measure: str) -> None:
    own = sorted(lines, key=lambda line: line["strength"])
    style = {"linewidth": 1.1, **canvas.control_style(control)}
    _curve(axes, own, _column(own, "strength"), f"{control.name}_{measure}", **style)
