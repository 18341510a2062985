"""The figures of forecasts: AUC over the horizon beside every control, and the gap by layer and horizon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mech_music.results import canvas, heat
from mech_music.results.beside import beside_controls
from mech_music.results.canvas import Sheet
from mech_music.results.heat import Cells
from mech_music.results.tables import Line, blocks_of, layers_of
from mech_music.tasks.horizon.columns import HORIZON

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEYS = HORIZON.axes_beside("regime", "layer", "horizon", "component", "prompts")


def curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """A panel for each regime: the layer with the highest AUC, mean over horizons, and its controls."""
    paths = []
    for lines in blocks_of(summary, _KEYS):
        regimes = list(dict.fromkeys(line["regime"] for line in lines))
        with Sheet(len(regimes), height=1.8 + 2.5 * len(regimes), share_y="row") as sheet:
            for axes, regime in zip(sheet.axes, regimes, strict=True):
                _panel(axes, [line for line in lines if line["regime"] == regime], regime)
            first = lines[0]
            sheet.axes[-1].set_xlabel(f"how much later ({first['horizons_in']})")
            sheet.words(
                f"Will the music so much later be a return? model {first['model']}, pieces {first['pieces']}",
                f"{_how(lines)} Of each regime the layer whose AUC, mean over horizons, is highest: chosen on the same tracks; "
                "the map of layers has all. Controls are fitted in the same way on the same rows.",
            )
            paths += sheet.save(
                folder, canvas.file_name("horizon", first["model"], *canvas.telling(summary, first, _KEYS[1:]))
            )
    return paths


def _panel(axes: Axes, lines: Sequence[Line], regime: str) -> None:
    layer = best_layer(lines)
    for role in HORIZON.declared:
        own = [line for line in lines if line["role"] == role.name and line["layer"] in (layer, "")]
        if not own:
            continue
        effect = role.name == HORIZON.roles[0]
        style = (
            {"color": role.colour, "label": role.word} if effect else canvas.control_style(role) | {"linewidth": 0.9}
        )
        if effect:
            canvas.layer_curve(axes, own, "auc", x="horizon", **style)
        else:
            at = sorted(own, key=lambda line: line["horizon"])
            axes.plot([line["horizon"] for line in at], [line["auc"] for line in at], **style)
    axes.axhline(0.5, color="black", linewidth=0.6, zorder=0)
    axes.set_ylabel("AUC")
    axes.set_title(f"{regime or 'pieces'}, layer {layer}", fontsize=9, fontweight="normal")


def best_layer(lines: Sequence[Line]) -> str:
    """Of the probe's layers the one with the highest AUC, mean over horizons."""
    effects = [line for line in lines if line["role"] == HORIZON.roles[0]]
    return max(layers_of(effects), key=lambda one: np.mean([line["auc"] for line in effects if line["layer"] == one]))


def gaps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Layer × horizon of each regime: AUC above the hardest control."""
    paths = []
    for lines in blocks_of(beside_controls(summary, ["auc"]), _KEYS):
        regimes = list(dict.fromkeys(line["regime"] for line in lines))
        layers, horizons = layers_of(lines)[::-1], sorted({line["horizon"] for line in lines})
        most = max((abs(line["margin"]) for line in lines if np.isfinite(line["margin"])), default=0.1)
        with heat.sheet(len(horizons), len(layers), len(regimes)) as sheet:
            for axes, regime in zip(sheet.axes, regimes, strict=True):
                own = [{**line, "horizon": f"{line['horizon']:g}"} for line in lines if line["regime"] == regime]
                cells = Cells(own, "layer", layers, "horizon", [f"{one:g}" for one in horizons], "margin", most, 2)
                heat.draw(axes, cells, [f"layer {layer}" for layer in layers], HORIZON.metric("auc"), True, fades=True)
                axes.set_title(regime or "pieces", fontsize=9, fontweight="normal")
            first = lines[0]
            sheet.axes[-1].set_xlabel(f"how much later ({first['horizons_in']})")
            sheet.words(
                f"AUC above the hardest control, model {first['model']}",
                f"{_how(lines)} {heat.FADED.format('the AUC is').replace('prompt by prompt', 'track by track')}",
            )
            name = canvas.file_name("horizon-gap", first["model"], *canvas.telling(summary, first, _KEYS[1:]))
            paths += sheet.save(folder, name)
    return paths


def _how(lines: Sequence[Line]) -> str:
    return canvas.how_measured(lines).replace("prompts", "tracks").replace("clips each", "tracks each")
