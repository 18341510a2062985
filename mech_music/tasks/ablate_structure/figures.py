"""The figures of what carries returns: what edits cost, and where every head looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.columns import layer_order
from mech_music.results.tables import Line, blocks_of, layers_of
from mech_music.tasks.ablate_structure.columns import ABLATE_STRUCTURE, KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLOCK = ABLATE_STRUCTURE.axes_beside("measured", "kind", "size", "how", "layer", "head")
_ROLES = ("found", "random", "local")
_SHOWN = ("source", "elsewhere", "same_lag", "copying")


def cost_bars(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Δ nats by kind of section for found, random and local ones: a panel for each size and way."""
    paths = []
    for lines in blocks_of(summary.query("measured == 'likelihood' and role in @_ROLES"), _BLOCK):
        panels = sorted({(line["how"], line["size"]) for line in lines}, key=lambda one: (one[0] != "mean", one))
        kinds = [kind for kind in KINDS if any(line["kind"] == kind for line in lines)]
        with Sheet(
            len(panels), width=9.0, height=1.4 + 1.9 * -(-len(panels) // 2), columns=2, share_x=False, share_y="row"
        ) as sheet:
            for axes, (how, size) in zip(sheet.axes, panels, strict=True):
                _bars(axes, [line for line in lines if (line["how"], line["size"]) == (how, size)], kinds)
                axes.set_title(f"{size} at once, {_words(how)}", fontsize=8, fontweight="normal")
                axes.set_ylabel(ABLATE_STRUCTURE.metric("delta").title, fontsize=8)
            first = lines[0]
            title = f"What it costs to edit {first['candidates']}: pieces {first['pieces']}, model {first['model']}"
            told = "Tracks that nothing was found on. Returns: exact, transposed and reorchestrated ones together."
            sheet.words(title, f"{canvas.how_measured(lines)} {told}")
            name = canvas.file_name("costs", first["model"], *canvas.telling(summary, first, _BLOCK))
            paths += sheet.save(folder, name)
    return paths


def _bars(axes: Axes, lines: Sequence[Line], kinds: Sequence[str]) -> None:
    width = 0.8 / len(_ROLES)
    for number, name in enumerate(_ROLES):
        role = ABLATE_STRUCTURE.role(name)
        own = {line["kind"]: line for line in lines if line["role"] == name}
        there = [kind for kind in kinds if kind in own]
        at = np.array([kinds.index(kind) for kind in there]) + (number - 1) * width
        mean, low, high = (np.array([own[kind]["delta" + end] for kind in there]) for end in ("", "_low", "_high"))
        style: dict[str, Any] = {"color": role.colour, "label": role.word}
        if there:
            axes.bar(at, mean, width, **style)
            error = np.nan_to_num(np.clip([mean - low, high - mean], 0, None))
            axes.errorbar(at, mean, error, fmt="none", ecolor="#333333", elinewidth=0.7)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xticks(range(len(kinds)), kinds, rotation=20, fontsize=7.5)


def _words(how: str) -> str:
    return {"mean": "replaced by their mean", "zero": "set to 0"}.get(how, f"scaled by {how}")


def head_map(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Layer by head: attention from returns to their source, both controls, and what heads copy."""
    paths = []
    for lines in blocks_of(summary.query("measured == 'heads'"), _BLOCK):
        layers = layers_of(lines)
        heads = sorted({line["head"] for line in lines}, key=layer_order)
        at = {(line["layer"], line["head"]): line for line in lines}
        height = 2.0 + 0.5 * len(layers) * 2
        with Sheet(len(_SHOWN), width=8.0, height=height, columns=2, share_y=True) as sheet:
            for axes, metric in zip(sheet.axes, _SHOWN, strict=True):
                values = np.array([[at[layer, head][metric] for head in heads] for layer in layers], float)
                _map(axes, values, metric == "copying")
                axes.set_title(ABLATE_STRUCTURE.metric(metric).title, fontsize=8, fontweight="normal")
                axes.set_xticks(range(len(heads)), heads)
                axes.set_yticks(range(len(layers)), layers)
                axes.set_xlabel("head")
                axes.set_ylabel("layer")
            first = lines[0]
            meanings = " ".join(
                f"{ABLATE_STRUCTURE.metric(name).title}: {ABLATE_STRUCTURE.metric(name).meaning}." for name in _SHOWN
            )
            title = f"Where heads look from returns: pieces {first['pieces']}, model {first['model']}"
            sheet.words(title, f"{canvas.how_measured(lines)} {meanings}")
            paths += sheet.save(
                folder, canvas.file_name("heads", first["model"], *canvas.telling(summary, first, _BLOCK))
            )
    return paths


def _map(axes: Axes, values: np.ndarray, signed: bool) -> None:
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    limits = (-most, most) if signed else (0.0, 1.0)
    axes.imshow(values, cmap="RdBu_r" if signed else "viridis", vmin=limits[0], vmax=limits[1], aspect="auto")
    for (layer, head), value in np.ndenumerate(values):
        dark = not signed and value < 0.6
        text = "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
        axes.text(head, layer, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
