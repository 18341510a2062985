"""The figure of steering: what is heard, kept and paid against the strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.sae_steer.columns import SAE_STEER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = ("heard", "kept", "both", "surprise")
_SHADES = ("#d55e00", "#cc79a7", "#e69f00", "#56b4e9")


def dose_response(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Means over pairs with their bands against the strength, each way of steering beside its controls: one for each
    layer and SAE."""
    paths: list[Path] = []
    keys = SAE_STEER.axes_beside("strength", "steer", "contrast", "schedule", "original", "desired", "training")
    for lines in blocks_of(summary, keys):
        with Sheet(len(_PANELS), height=9.0) as sheet:
            for axes, metric in zip(sheet.axes, _PANELS, strict=True):
                _panel(axes, lines, metric)
            sheet.axes[-1].set_xlabel("strength α")
            first = lines[0]
            title = f"Steering with features, {first['component']} {first['layer']}, {first['width']} features"
            pairs = dict.fromkeys(f"{line['original']} → {line['desired']}" for line in lines)
            meanings = " ".join(
                f"{SAE_STEER.metric(name).title}: {SAE_STEER.metric(name).meaning}." for name in _PANELS
            )
            sheet.words(
                f"{title}, model {first['model']}",
                f"{canvas.how_measured(lines)} Pairs: {', '.join(pairs)}. {meanings}",
            )
            name = canvas.file_name("steer", first["model"], *canvas.telling(summary, first, keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def _panel(axes: Axes, lines: Sequence[Line], metric: str) -> None:
    ways = list(dict.fromkeys(map(way_of, lines)))
    for role in SAE_STEER.declared:
        own = [line for line in lines if line["role"] == role.name]
        if role.level and own:
            found, column = of_pairs(own, metric)
            axes.axhline(found[0][column], **canvas.control_style(role), linewidth=1.0)
            continue
        for number, way in enumerate(ways if role.name != "means" else ways[:1]):
            there = [line for line in own if way_of(line) == way]
            if not there:
                continue
            found, column = of_pairs(there, metric)
            style = _style(role.name, way, number, len(ways))
            canvas.layer_curve(axes, found, column, x="strength", **style)
    axes.set_ylabel(SAE_STEER.metric(metric).label)


def way_of(line: Line) -> str:
    """The way of steering in words: ``features, contrast 1, decay:0.5``."""
    contrast = [f"contrast {line['contrast']:g}"] if line["contrast"] else []
    schedule = [line["schedule"]] if line["schedule"] != "all" else []
    return ", ".join([line["steer"], *contrast, *schedule])


def of_pairs(lines: Sequence[Line], metric: str) -> tuple[list[Line], str]:
    """One line for each strength, and the column that has the metric: its mean over pairs, where there are several."""
    by_strength: dict[float, list[Line]] = {}
    for line in lines:
        by_strength.setdefault(line["strength"], []).append(line)
    pooled = any(len(some) > 1 for some in by_strength.values())
    return [some[0] for some in by_strength.values()], f"pooled_{metric}" if pooled else metric


def _style(role: str, way: str, number: int, n_ways: int) -> dict[str, Any]:
    own = SAE_STEER.role(role)
    shade = _SHADES[number % len(_SHADES)]
    if role == SAE_STEER.roles[0]:
        return {"color": shade, "label": way if n_ways > 1 else own.word}
    style = canvas.control_style(own)
    if n_ways > 1 and role != "means":
        style |= {"label": f"{own.label}, {way}", "color": shade, "alpha": 0.5}
    return style
