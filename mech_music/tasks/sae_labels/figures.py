"""The figures of labels: how well they say where features fire, by layer; and what is kept, by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.columns import layer_order
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.sae_labels.columns import SAE_LABELS

_BY_LAYER = ("auroc", "f1", "accepted", "similarity")
_BY_CONFIDENCE = ("kept", "auroc", "accepted")
_DEALT = SAE_LABELS.controls[0]


def by_layer(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Of all labels of a size and training, one colour a labeller, beside dealt labels; where there are layers."""
    paths, keys = [], SAE_LABELS.axes_beside("layer", "asked", "labeller")
    for lines in blocks_of(summary.query("asked == 0"), keys):
        if len({line["layer"] for line in lines}) < 2:
            continue
        panels = [metric for metric in _BY_LAYER if any(line[metric] == line[metric] for line in lines)]
        with Sheet(len(panels), height=1.4 + 1.9 * len(panels)) as sheet:
            for axes, metric in zip(sheet.axes, panels, strict=True):
                for place, labeller in enumerate(dict.fromkeys(line["labeller"] for line in lines)):
                    colour, marker = _look(place)
                    for role, some in _by_role([line for line in lines if line["labeller"] == labeller]).items():
                        own = role == "label"
                        style = (
                            {"label": labeller} if own else canvas.control_style(_DEALT) | {"label": _dealt(labeller)}
                        )
                        canvas.layer_curve(axes, some, metric, **style | {"color": colour, "marker": marker})
                axes.set_ylabel(SAE_LABELS.metric(metric).label)
            canvas.layer_ticks(sheet.axes[-1], lines)
            sheet.axes[-1].set_xlabel("layer")
            meanings = " ".join(
                f"{SAE_LABELS.metric(name).title}: {SAE_LABELS.metric(name).meaning}." for name in panels
            )
            sheet.words(f"Labels of features, {_sae(lines[0])}", f"{meanings} Dashed: {_DEALT.meaning}.")
            name = canvas.file_name("labels", lines[0]["model"], *canvas.telling(summary, lines[0], keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def by_confidence(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Of each labeller, a line a layer: labels kept, and the scores of those that are."""
    paths, keys = [], SAE_LABELS.axes_beside("layer", "asked")
    for lines in blocks_of(summary, keys):
        with Sheet(len(_BY_CONFIDENCE), height=7.0) as sheet:
            layers = sorted({line["layer"] for line in lines}, key=layer_order)
            for axes, metric in zip(sheet.axes, _BY_CONFIDENCE, strict=True):
                for place, layer in enumerate(layers):
                    colour, marker = _look(place)
                    for role, some in _by_role([line for line in lines if line["layer"] == layer]).items():
                        if role != "label" and metric == "kept":
                            continue  # the same labels, dealt out: as many are kept
                        word = f"layer {layer}"
                        style = (
                            {"label": word}
                            if role == "label"
                            else canvas.control_style(_DEALT) | {"label": _dealt(word)}
                        )
                        known = [line for line in some if line[metric] == line[metric]]
                        canvas.layer_curve(
                            axes, known, metric, x="asked", **style | {"color": colour, "marker": marker}
                        )
                axes.set_ylabel(SAE_LABELS.metric(metric).label)
            sheet.axes[-1].set_xlabel("confidence that is asked for")
            note = "Scores of the labels that are kept, on held-out clips. Dashed: " + _DEALT.meaning + "."
            sheet.words(f"Labels by {lines[0]['labeller']}, {_sae(lines[0])}", note)
            name = canvas.file_name("confidence", lines[0]["model"], *canvas.telling(summary, lines[0], keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def _by_role(lines: Sequence[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["role"], []).append(line)
    return found


def _look(place: int) -> tuple[str, str]:
    colours = list(canvas.COLOURS.values())
    return colours[place % len(colours)], canvas.MARKERS[place % len(canvas.MARKERS)]


def _dealt(word: str) -> str:
    return f"control: {word}, dealt out"


def _sae(line: Line) -> str:
    return f"{line['width']} features, k {line['k']}, {line['activation']}, model {line['model']}"
