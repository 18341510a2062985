"""The figures of lenses: what is heard of each concept by layer (figure 2), and how near a lens comes to the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.prompts.concepts import CONCEPTS
from mech_music.results import canvas
from mech_music.results.canvas import Line, Sheet
from mech_music.results.columns import DECODER_LENS, TUNED_LENS
from mech_music.tasks.interchange.controls import blocks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ORDER = ("decoder", "tuned")


def concept_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """NDCG against layer, a panel for each concept: one sheet per model, point, reading, seed and duration."""
    paths = []
    for lines in blocks_of(summary, DECODER_LENS.axes_beside("lens", "layer", "concept")):
        concepts = [name for name in CONCEPTS if name in {line["concept"] for line in lines}]
        columns = min(5, len(concepts))
        rows = -(-len(concepts) // columns)
        with Sheet(
            len(concepts), width=max(5.5, 2.2 * columns), height=1.6 + 1.75 * rows, columns=columns, share_y=True
        ) as sheet:
            for place, (axes, concept) in enumerate(zip(sheet.axes, concepts, strict=True)):
                _concept(axes, [line for line in lines if line["concept"] == concept])
                axes.set_title(concept, fontsize=9, fontweight="normal")
                if place % columns == 0:
                    axes.set_ylabel("NDCG of its labels")
                if place + columns >= len(concepts):
                    axes.set_xlabel("layer read")
                    axes.tick_params(labelbottom=True)
            paths += _finish(sheet, folder, "lens", summary, lines, _about_concepts(lines))
    return paths


def divergence_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """KL to the final distribution and agreement against layer, both lenses: one per model, point and fit."""
    panels = {
        "kl": "KL(final ‖ lens), nats\neach guidance half",
        "kl_guided": "KL(final ‖ lens), nats\nafter guidance",
        "agreement": "same most\nprobable token",
    }
    paths = []
    for lines in blocks_of(summary, TUNED_LENS.axes_beside("lens", "layer")):
        with Sheet(len(panels), height=6.4) as sheet:
            for axes, (metric, label) in zip(sheet.axes, panels.items(), strict=True):
                for lens in _ORDER:
                    own = [line for line in lines if line["lens"] == lens]
                    _curve(axes, own, metric, canvas.LENS_COLOURS[lens], label=canvas.LENS_WORDS[lens])
                axes.set_ylabel(label)
                axes.set_ylim(bottom=0)
            _layers(sheet.axes[-1], lines)
            sheet.axes[-1].set_xlabel("layer read (the last layer is the end itself: nothing to translate)")
            about = "Measured on clips that the translators were not trained on; steps, codebooks and halves averaged."
            paths += _finish(sheet, folder, "tuned-lens", summary, lines, about)
    return paths


def _finish(sheet: Sheet, folder: Path, kind: str, summary: pd.DataFrame, lines: list[Line], about: str) -> list[Path]:
    first = lines[0]
    reading = f", {canvas.READING_WORDS[first['reading']]}" if "reading" in first else ""
    what = "What layers play" if kind == "lens" else "How near layers come to the model's end"
    title = f"{what}: {canvas.POINT_WORDS[first['component']]}{reading}, model {first['model']}"
    n = sorted({line["n"] for line in lines})
    spread = f"Means over prompts with {100 * first['level']:g} % bootstrap intervals, n = {n[0]}"
    sheet.words(title, f"{spread}{f' to {n[-1]}' if len(n) > 1 else ''} clips each. {about}")
    keys = ("component", "reading", "classifier", "duration", "seed", "prompts")
    telling = [f"{key}-{first[key]}" for key in keys if key in first and len(set(summary[key])) > 1]
    return sheet.save(folder, canvas.file_name(kind, first["model"], *telling))


def _about_concepts(lines: list[Line]) -> str:
    failed = sum(line["failed"] for line in lines)
    text = "Control: the same layers on prompts that name another concept of the category, for the same labels. "
    text += "Dotted: the full model's own clips. A curve above its control carries the concept."
    return text + (f" {failed} clips failed and are left out." if failed else "")


def _concept(axes: Axes, lines: list[Line]) -> None:
    for lens in _ORDER:
        own = [line for line in lines if line["lens"] == lens]
        if not own:
            continue
        shade = canvas.LENS_COLOURS[lens]
        control = {"label": f"{canvas.CONTROL_WORDS['other']} ({canvas.LENS_WORDS[lens]})", "linestyle": (0, (2, 1.5))}
        _curve(axes, [line for line in own if line["role"] == "other"], "ndcg", shade, alpha=0.55, **control)
        _curve(axes, [line for line in own if line["role"] == "lens"], "ndcg", shade, label=canvas.LENS_WORDS[lens])
    full = next(line for line in lines if line["role"] == "lens")
    axes.axhline(full["ndcg_full"], color="black", linewidth=1, linestyle=":", label="full model")
    axes.axhspan(full["ndcg_full_low"], full["ndcg_full_high"], color="black", alpha=0.08, linewidth=0)
    axes.set_ylim(0, 1)
    _layers(axes, lines)


def _curve(axes: Axes, lines: list[Line], metric: str, shade: str, **style: Any) -> None:
    """A mean with its band; a control's band is fainter."""
    own = sorted(lines, key=lambda line: int(line["layer"]))
    x = [int(line["layer"]) for line in own]
    mean, low, high = (np.array([line[metric + end] for line in own], float) for end in ("", "_low", "_high"))
    axes.plot(x, mean, color=shade, linewidth=1.4, marker="o", markersize=3 if len(x) <= 24 else 2, **style)
    axes.fill_between(x, low, high, color=shade, alpha=0.18 if "linestyle" not in style else 0.08, linewidth=0)


def _layers(axes: Axes, lines: list[Line]) -> None:
    layers = sorted({int(line["layer"]) for line in lines})
    axes.set_xticks(layers[:: max(1, -(-len(layers) // 8))])
