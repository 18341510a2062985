"""Figures of SAEs: what is explained, kept and told by layer; words by category and readout; features beside nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.tables import Line, blocks_of
from mech_music.tasks.sae.columns import SAE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = {"fvu": "clips", "recovered": "clips", "auroc": "concepts"}
_SCORES = ("auroc", "auroc_pooled", "probe_5", "probe_5_pooled")
_NULLS = {"found_again": ("sae", "random"), "r": ("sae", "frames", "patterns")}
_READOUTS = {
    "sae": "#0072b2",
    "neuron": "#D55E00",
    "pca": "#009E73",
    "random": "#CC79A7",
    "shuffled": "#999999",
    "dense": "#000000",
    "difference": "#E69F00",
}


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


def concept_panels(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """AUROC by category of words for every readout: the best feature and five, by clip means and pooled over time."""
    paths, keys = [], [key for key in SAE.axes_beside("measured") if key != "prompts"]
    for lines in blocks_of(summary, keys):
        found = {(line["measured"], line["role"]): line for line in lines}
        told = dict.fromkeys(line["measured"] for line in lines if line["role"] == "neuron")
        with Sheet(len(_SCORES), height=6.0, columns=2, share_y=True) as sheet:
            for axes, metric in zip(sheet.axes, _SCORES, strict=True):
                _bars(axes, found, [*told], metric)
                axes.set_title(SAE.metric(metric).title, fontsize=9)
            _caption(sheet, lines, "Which words features tell")
            name = canvas.file_name("sae_concepts", lines[0]["model"], *canvas.telling(summary, lines[0], keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def _caption(sheet: Sheet, lines: Sequence[Line], title: str) -> None:
    first = lines[0]
    which = f"{first['width']} features, k {first['k']}, layer {first['layer']}, model {first['model']}"
    words = "AUROC on held-out prompts of what was chosen and weighed on others: means over words"
    level = f"{100 * first['level']:g} % bootstrap intervals over words"
    sheet.words(f"{title}: {which}", f"{words}, {level}. {SAE.metric('auroc_pooled').title}: the way in which a "
                "feature's time course becomes a number is chosen for each word on the clips trained on, too. "
                "Dotted: chance.")  # fmt: skip


def _bars(axes: Axes, found: Mapping[tuple[str, str], Line], told: Sequence[str], metric: str) -> None:
    shown = [role for role in _READOUTS if any(_has(found, name, role, metric) for name in told)]
    width = 0.8 / max(1, len(shown))
    for number, role in enumerate(shown):
        own = [(place, found[name, role]) for place, name in enumerate(told) if _has(found, name, role, metric)]
        at = np.array([place for place, _ in own]) + (number - (len(shown) - 1) / 2) * width
        mean, low, high = (np.array([line[metric + end] for _, line in own], float) for end in ("", "_low", "_high"))
        style: dict[str, Any] = {"color": _READOUTS[role], "label": SAE.role(role).word}
        error = np.nan_to_num(np.clip([mean - low, high - mean], 0, None))
        axes.bar(at, mean - 0.5, width, bottom=0.5, **style)
        axes.errorbar(at, mean, error, fmt="none", ecolor="#333333", elinewidth=0.7)
    axes.axhline(0.5, color="black", linewidth=0.9, linestyle=":")
    axes.set_xticks(range(len(told)), ["all" if name == "concepts" else name for name in told])
    axes.set_ylim(0.4, 1.02)


def _has(found: Mapping[tuple[str, str], Line], name: str, role: str, metric: str) -> bool:
    line = found.get((name, role))
    return line is not None and line[metric] == line[metric]


def feature_panels(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """How many features come back with another seed, and how their R stands to its nulls, by kind."""
    paths, keys = [], [key for key in SAE.axes_beside("measured") if key != "prompts"]
    for lines in blocks_of(summary, keys):
        found = {(line["measured"], line["role"]): line for line in lines}
        kinds = [name for name in dict.fromkeys(name for name, _ in found) if name.startswith("features")]
        present = [metric for metric in _NULLS if any(_has(found, kind, "sae", metric) for kind in kinds)]
        if not present:
            continue
        with Sheet(len(present), height=1.6 + 2.2 * len(present)) as sheet:
            for axes, metric in zip(sheet.axes, present, strict=True):
                _points(axes, found, kinds, metric)
            sheet.axes[-1].set_xticks(range(len(kinds)), [name.removeprefix("features, ") for name in kinds])
            first = lines[0]
            meanings = " ".join(f"{SAE.metric(name).title}: {SAE.metric(name).meaning}." for name in present)
            note = f"Means over features with {100 * first['level']:g} % bootstrap intervals."
            title = f"Features, {first['width']}, k {first['k']}, layer {first['layer']}, model {first['model']}"
            sheet.words(title, f"{meanings} {note}")
            name = canvas.file_name("sae_features", first["model"], *canvas.telling(summary, first, keys[1:]))
            paths += sheet.save(folder, name)
    return paths


def _points(axes: Axes, found: Mapping[tuple[str, str], Line], kinds: Sequence[str], metric: str) -> None:
    roles = _NULLS[metric]
    for place, (role, colour) in enumerate(zip(roles, ("#0072b2", "#777777", "#D55E00"), strict=False)):
        own = [(at, found[name, role]) for at, name in enumerate(kinds) if _has(found, name, role, metric)]
        x = [at + 0.15 * (place - (len(roles) - 1) / 2) for at, _ in own]
        mean, low, high = (np.array([line[metric + end] for _, line in own], float) for end in ("", "_low", "_high"))
        error = np.nan_to_num(np.clip([mean - low, high - mean], 0, None))
        axes.errorbar(x, mean, error, fmt="os^"[place], color=colour, label=SAE.role(role).word, markersize=4)
    axes.set_ylabel(SAE.metric(metric).title)
