"""The figure of continuation: every measure by what the last section is, beside its controls."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import blocks_of
from mech_music.tasks.continuation.columns import CONTINUATION

_KINDS = ("new", "decoy", "exact", "transposed", "return", "unlabelled")
_COLOURS = {"own": "#D55E00", "swapped": "#0072B2", "other": "#777777"}
_ABOUT = (
    "exact and transposed: returns of an earlier section. Controls: earlier sections of another piece, and the last "
    "bar of another piece of the same words."
)


def by_kind(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """A panel for each measure; one figure per model and form."""
    paths = []
    for lines in blocks_of(summary, CONTINUATION.axes_beside("kind")):
        with Sheet(6, width=9.6, height=5.6, columns=3, share_x=False) as sheet:
            present = [kind for kind in _KINDS if any(line["kind"] == kind for line in lines)]
            for axes, metric in zip(sheet.axes, CONTINUATION.metric_columns, strict=True):
                for at, role in enumerate(CONTINUATION.declared):
                    own = {line["kind"]: line for line in lines if line["role"] == role.name}
                    kinds = [kind for kind in present if kind in own]
                    x = [present.index(kind) + 0.18 * (at - 1) for kind in kinds]
                    mean = [own[kind][metric.name] for kind in kinds]
                    ends = [[abs(own[kind][metric.name + end] - own[kind][metric.name]) for kind in kinds]
                            for end in ("_low", "_high")]  # fmt: skip
                    label = role.word if role.name == "own" else role.label
                    style = {"color": _COLOURS[role.name], "fmt": "oxs"[at], "markersize": 4, "linewidth": 1.2}
                    axes.errorbar(x, mean, yerr=ends, label=label, **style)
                axes.set_xticks(range(len(present)), present)
                axes.set_title(metric.title, fontsize=9, fontweight="normal")
                axes.set_ylim(bottom=0)
            first = lines[0]
            title = f"The last bar continued: model {first['model']}, {first['attention']}, form {first['form']}"
            sheet.words(title, f"{canvas.how_measured(lines)} {_ABOUT}")
            telling = canvas.telling(summary, first, ("attention", "tokens", "form", "seed"))
            paths += sheet.save(folder, canvas.file_name("continue", first["model"], *telling))
    return paths
