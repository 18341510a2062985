"""The figure of SAEs: what is left unexplained, what is kept when they are spliced in, what their features tell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import blocks_of
from mech_music.tasks.sae.columns import SAE

_PANELS = {"fvu": "clips", "recovered": "clips", "auroc": "concepts"}


def layer_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """FVU, KL recovered and AUROC against the layer, beside their controls: one for each size and training."""
    paths, keys = [], [key for key in SAE.axes_beside("layer", "measured") if key != "prompts"]
    for lines in blocks_of(summary, keys):
        with Sheet(len(_PANELS), height=7.5) as sheet:
            for axes, (metric, measured) in zip(sheet.axes, _PANELS.items(), strict=True):
                for role in SAE.declared:
                    own = [line for line in lines if (line["measured"], line["role"]) == (measured, role.name)]
                    if own and not all(line[metric] != line[metric] for line in own):
                        main = role.name == "sae"
                        style = {"color": role.colour, "label": role.word} if main else canvas.control_style(role)
                        canvas.layer_curve(axes, own, metric, **style)
                axes.set_ylabel(SAE.metric(metric).label)
            canvas.layer_ticks(sheet.axes[-1], lines)
            sheet.axes[-1].set_xlabel("layer")
            first = lines[0]
            told = f"{first['width']} features, k {first['k']}, {first['activation']}"
            meanings = " ".join(f"{SAE.metric(name).title}: {SAE.metric(name).meaning}." for name in _PANELS)
            sheet.words(f"Sparse autoencoders, {told}, model {first['model']}", meanings)
            name = canvas.file_name("sae", first["model"], *canvas.telling(summary, first, keys[1:]))
            paths += sheet.save(folder, name)
    return paths
