"""The figure of the tuned lens: how near both lenses come to the model's end, by layer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import blocks_of
from mech_music.tasks.tuned_lens.columns import TUNED_LENS

_ABOUT = "Measured on clips that the translators were not trained on; steps, codebooks and halves averaged."


def divergence_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """KL to the final distribution and agreement against layer, both lenses: one per model, point and fit."""
    paths, keys = [], TUNED_LENS.axes_beside("lens", "layer")
    for lines in blocks_of(summary, keys):
        with Sheet(len(TUNED_LENS.metrics), height=6.4) as sheet:
            for axes, metric in zip(sheet.axes, TUNED_LENS.metric_columns, strict=True):
                for lens, shade in canvas.LENS_COLOURS.items():
                    own = [line for line in lines if line["lens"] == lens]
                    canvas.layer_curve(axes, own, metric.name, color=shade, label=canvas.LENS_WORDS[lens])
                axes.set_ylabel(metric.label)
                axes.set_ylim(bottom=0)
            canvas.layer_ticks(sheet.axes[-1], lines)
            sheet.axes[-1].set_xlabel("layer read (the last layer is the end itself: nothing to translate)")
            first = lines[0]
            where = f"{canvas.POINT_WORDS[first['component']]}, model {first['model']}"
            sheet.words(f"How near layers come to the model's end: {where}", f"{canvas.how_measured(lines)} {_ABOUT}")
            name = canvas.file_name("tuned-lens", first["model"], *canvas.telling(summary, first, keys[1:]))
            paths += sheet.save(folder, name)
    return paths
