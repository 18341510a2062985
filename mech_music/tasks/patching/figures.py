"""The figures of patching: which share of the way each site, or each path, carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mech_music.results import canvas, heat
from mech_music.results.beside import beside_controls, controls_run
from mech_music.results.columns import layer_order
from mech_music.results.tables import Line, blocks_of, layers_of
from mech_music.tasks.patching.columns import PATCHING, SHARE
from mech_music.tasks.patching.sites import receivers_in_order

_BLOCK = PATCHING.axes_beside("component", "layer", "head", "receiver", "frames")
_SHARE = "Share of the way from the run (0) to the clip that activations come from (1)."
_COMPONENTS = ("mlp", "sa", "ca", "resid")
_WORDS = {"denoise": "clean activations in the corrupted run", "noise": "corrupted activations in the clean run"}


def site_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Component × layer, a panel for each window of steps: one per pair and direction."""
    paths: list[Path] = []
    effects = beside_controls(summary, ["effect"])
    for lines in blocks_of(effects.query("receiver == '' and head == ''"), _BLOCK):
        windows = sorted({line["frames"] for line in lines}, key=_window)
        components = [name for name in _COMPONENTS if any(line["component"] == name for line in lines)]
        layers = layers_of(lines)
        if _most(lines) is None:  # no way to have a share of
            continue
        with heat.sheet(len(layers), len(components), panels=len(windows)) as sheet:
            for axes, window in zip(sheet.axes, windows, strict=True):
                own = [line for line in lines if line["frames"] == window]
                shown = heat.Cells(own, "component", components, "layer", layers, "share", _most(lines), 2)
                words = [canvas.COMPONENT_WORDS[name] for name in components]
                heat.draw(axes, shown, words, SHARE, signed=True, fades=bool(controls_run(summary)))
                if len(windows) > 1:
                    axes.set_title(f"steps {window}", fontsize=8)
            sheet.axes[-1].set_xlabel("layer")
            sheet.words(*_told(summary, lines))
            paths += sheet.save(folder, _name("patching", summary, lines[0]))
    return paths


def head_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Head × layer, a panel for each component: one per pair, direction and window."""
    paths: list[Path] = []
    effects = beside_controls(summary, ["effect"])
    for lines in blocks_of(effects.query("head != ''"), [*_BLOCK, "frames"]):
        components = [name for name in _COMPONENTS if any(line["component"] == name for line in lines)]
        heads, layers = sorted({line["head"] for line in lines}, key=layer_order), layers_of(lines)
        if _most(lines) is None:
            continue
        with heat.sheet(len(layers), len(heads), panels=len(components)) as sheet:
            for axes, component in zip(sheet.axes, components, strict=True):
                own = [line for line in lines if line["component"] == component]
                shown = heat.Cells(own, "head", heads, "layer", layers, "share", _most(lines), 2)
                words = [f"head {head}" for head in heads]
                heat.draw(axes, shown, words, SHARE, signed=True, fades=bool(controls_run(summary)))
                axes.set_title(canvas.COMPONENT_WORDS[component], fontsize=8)
            sheet.axes[-1].set_xlabel("layer")
            sheet.words(*_told(summary, lines))
            paths += sheet.save(folder, _name("heads", summary, lines[0], "frames"))
    return paths


def path_maps(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Receiver × the sender's layer, a panel for each component that sends: one per pair, direction and window."""
    paths: list[Path] = []
    effects = beside_controls(summary, ["effect"])
    for lines in blocks_of(effects.query("receiver != ''"), [*_BLOCK, "frames"]):
        senders = [name for name in _COMPONENTS if any(line["component"] == name for line in lines)]
        receivers, layers = receivers_in_order([line["receiver"] for line in lines]), layers_of(lines)
        if _most(lines) is None:
            continue
        with heat.sheet(len(layers), len(receivers), panels=len(senders)) as sheet:
            for axes, sender in zip(sheet.axes, senders, strict=True):
                own = [line for line in lines if line["component"] == sender]
                shown = heat.Cells(own, "receiver", receivers, "layer", layers, "share", _most(lines), 2)
                heat.draw(axes, shown, receivers, SHARE, signed=True, fades=bool(controls_run(summary)))
                axes.set_ylabel("receiver")
                axes.set_title(f"sender: {canvas.COMPONENT_WORDS[sender]}", fontsize=8)
            sheet.axes[-1].set_xlabel("the sender's layer")
            sheet.words(*_told(summary, lines))
            paths += sheet.save(folder, _name("paths", summary, lines[0], "frames"))
    return paths


def _most(lines: Sequence[Line]) -> float | None:
    """The end of the scale that all panels share."""
    return max((abs(line["share"]) for line in lines if not np.isnan(line["share"])), default=None)


def _window(frames: str) -> tuple[int, str]:
    start = frames.partition(":")[0]
    return (int(start), "") if start.isdecimal() else (-1, frames)


def _told(summary: pd.DataFrame, lines: Sequence[Line]) -> tuple[str, str]:
    first = lines[0]
    title = f"{first['original']} and {first['desired']}, {first['direction']}: {_WORDS[first['direction']]}"
    faded = heat.FADED.format("effect") if controls_run(summary) else "No controls were run."
    return f"{title}, model {first['model']}", f"{_SHARE} {canvas.how_measured(lines)} {faded}"


def _name(kind: str, summary: pd.DataFrame, line: Line, *more: str) -> str:
    told = [key for key in _BLOCK if key not in ("model", "original", "desired", "direction")]
    named = (kind, f"{line['original']}-{line['desired']}", line["direction"], line["model"])
    return canvas.file_name(*named, *canvas.telling(summary.query("role == 'patch'"), line, [*told, *more]))
