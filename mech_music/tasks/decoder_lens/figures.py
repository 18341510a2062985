"""The figures of DecoderLens: what is heard of each concept by layer, a panel for each concept, and as figure 2 of
Vélez Vásquez et al. (ISMIR 2024) has it, a panel for each category."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mech_music.prompts.declared import by_category
from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.decoder_lens.columns import DECODER_LENS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CONTROL = DECODER_LENS.role("other")
_ABOUT = (
    "Control: the same layers on prompts that name another concept of the category, for the same labels. A curve above "
    "its control carries the concept."
)
_FULL = " Dotted: the full model's own clips."


def concept_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """NDCG against layer, a panel for each concept: one sheet per model, point, reading, seed and duration."""
    paths, keys = [], DECODER_LENS.axes_beside("lens", "layer", "concept")
    for lines in blocks_of(summary, keys):
        kinds = by_category(lines[0]["prompt_set"], [line["concept"] for line in lines])
        concepts = [concept for names in kinds.values() for concept in names]
        columns = min(5, len(concepts))
        rows = -(-len(concepts) // columns)
        with Sheet(
            len(concepts), width=max(5.5, 2.2 * columns), height=1.6 + 1.75 * rows, columns=columns, share_y=True
        ) as sheet:
            for place, (axes, concept) in enumerate(zip(sheet.axes, concepts, strict=True)):
                _concept(axes, [line for line in lines if line["concept"] == concept])
                axes.set_title(concept, fontsize=9, fontweight="normal")
                if place % columns == 0:
                    axes.set_ylabel(DECODER_LENS.metric("ndcg").label)
                if place + columns >= len(concepts):
                    axes.set_xlabel("layer read")
                    axes.tick_params(labelbottom=True)
            first = lines[0]
            where = f"{canvas.POINT_WORDS[first['component']]}, {canvas.READING_WORDS[first['reading']]}"
            sheet.words(
                f"What layers play: {where}, model {first['model']}", f"{canvas.how_measured(lines)} {_ABOUT}{_FULL}"
            )
            name = canvas.file_name("lens", first["model"], *canvas.telling(summary, first, keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def category_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """NDCG against layer, a panel for each category with a line for each concept: as in figure 2 of the paper.

    One sheet per lens, model, point, reading, seed and duration; only where a category has several concepts.
    """
    paths, keys = [], DECODER_LENS.axes_beside("layer", "concept")
    for lines in blocks_of(summary, keys):
        kinds = by_category(lines[0]["prompt_set"], [line["concept"] for line in lines])
        if max(map(len, kinds.values())) < 2:
            continue
        with Sheet(len(kinds), width=7.0, height=1.6 + 2.2 * len(kinds), share_y=True) as sheet:
            for axes, (kind, concepts) in zip(sheet.axes, kinds.items(), strict=True):
                _category(axes, lines, concepts)
                axes.set_title(f"{kind}s" if kind else "", fontsize=9, fontweight="normal", loc="left")
                axes.set_ylabel(DECODER_LENS.metric("ndcg").label)
            sheet.axes[-1].set_xlabel("layer read")
            first = lines[0]
            where = f"{canvas.LENS_WORDS[first['lens']]} {canvas.READING_WORDS[first['reading']]}"
            sheet.words(
                f"What layers play: {where}, model {first['model']}",
                f"{canvas.how_measured(lines)} {_ABOUT} Dotted, in a concept's colour: its control.",
            )
            told = canvas.telling(summary, first, keys[1:])
            paths += sheet.save(folder, canvas.file_name("categories", first["model"], *told))
    return paths


def _category(axes: Axes, lines: list[Line], concepts: list[str]) -> None:
    import matplotlib as mpl

    handles, palette = [], mpl.colormaps["tab10"]
    for place, concept in enumerate(concepts):
        own = [line for line in lines if line["concept"] == concept]
        of_role = {role: [line for line in own if line["role"] == role] for role in DECODER_LENS.roles}
        shade = palette(place % palette.N)
        canvas.layer_curve(axes, of_role["lens"], "ndcg", color=shade)
        handles.append(axes.lines[-1])
        if of_role["other"]:
            at = sorted(of_role["other"], key=lambda line: int(line["layer"]))
            x, y = ([line[name] for line in at] for name in ("layer", "ndcg"))
            axes.plot([int(layer) for layer in x], y, color=shade, linewidth=0.9, linestyle=":", alpha=0.8)
    axes.legend(handles, concepts, loc="center left", bbox_to_anchor=(1.0, 0.5))  # of its own: panels share colours
    axes.set_ylim(0, 1)
    canvas.layer_ticks(axes, lines)


def _concept(axes: Axes, lines: list[Line]) -> None:
    for lens, shade in canvas.LENS_COLOURS.items():
        own = [line for line in lines if line["lens"] == lens]
        if not own:
            continue
        word = canvas.LENS_WORDS[lens]
        control = canvas.control_style(_CONTROL) | {"color": shade, "label": f"{_CONTROL.label} ({word})"}
        canvas.layer_curve(axes, [line for line in own if line["role"] == "other"], "ndcg", alpha=0.55, **control)
        canvas.layer_curve(axes, [line for line in own if line["role"] == "lens"], "ndcg", color=shade, label=word)
    full = next(line for line in lines if line["role"] == "lens")
    axes.axhline(full["ndcg_full"], color="black", linewidth=1, linestyle=":", label="full model")
    axes.axhspan(full["ndcg_full_low"], full["ndcg_full_high"], color="black", alpha=0.08, linewidth=0)
    axes.set_ylim(0, 1)
    canvas.layer_ticks(axes, lines)
