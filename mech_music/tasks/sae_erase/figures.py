"""The figure of erasing: what is heard, kept and paid against the number of features that are put to 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.sae_erase.columns import SAE_ERASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = ("heard", "kept", "surprise")


def erasing_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Concepts thin, their mean with its band, random features beside it: one for each layer and SAE."""
    paths: list[Path] = []
    keys = SAE_ERASE.axes_beside("features", "concept", "chance")
    for lines in blocks_of(summary, keys):
        with Sheet(len(_PANELS), height=7.5) as sheet:
            for axes, metric in zip(sheet.axes, _PANELS, strict=True):
                _panel(axes, lines, metric)
            sheet.axes[-1].set_xlabel("features put to 0")
            first, concepts = lines[0], list(dict.fromkeys(line["concept"] for line in lines))
            title = (
                f"Erasing concepts, {first['component']} {first['layer']}, {first['width']} features, k {first['k']}"
            )
            told = f"Concepts: {', '.join(concepts)}. {SAE_ERASE.metric('heard').meaning.capitalize()}."
            sheet.words(f"{title}, model {first['model']}", f"{canvas.how_measured(lines)} {told}")
            paths += sheet.save(
                folder, canvas.file_name("erase", first["model"], *canvas.telling(summary, first, keys[1:]))
            )
    return paths


def _panel(axes: Axes, lines: Sequence[Line], metric: str) -> None:
    many = len({line["concept"] for line in lines}) > 1
    mean = f"pooled_{metric}" if many else metric
    for role in SAE_ERASE.declared:
        own = [line for line in lines if line["role"] == role.name]
        one = [line for line in own if line["concept"] == own[0]["concept"]]  # of the pooled, all say the same
        if role.level:
            axes.axhline(one[0][mean], **canvas.control_style(role), linewidth=1.0)
            continue
        main = role.name == SAE_ERASE.roles[0]
        style: dict[str, Any] = {"color": role.colour, "label": role.word} if main else canvas.control_style(role)
        for concept in dict.fromkeys(line["concept"] for line in own) if main and many else ():
            thin = sorted((line for line in own if line["concept"] == concept), key=lambda line: line["features"])
            x, y = zip(*((line["features"], line[metric]) for line in thin), strict=True)
            axes.plot(x, y, color=role.colour, linewidth=0.6, alpha=0.4)
        canvas.layer_curve(axes, one, mean, x="features", **style)
    if metric == "heard":
        chances = [line["chance"] for line in lines]
        axes.axhline(sum(chances) / len(chances), color="black", linewidth=0.9, linestyle=":", label="chance")
    axes.set_xscale("log", base=2)
    numbers = sorted({line["features"] for line in lines} - {0})
    axes.set_xticks(numbers, [str(one) for one in numbers])
    axes.set_ylabel(SAE_ERASE.metric(metric).label)
