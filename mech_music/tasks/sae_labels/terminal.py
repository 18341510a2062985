"""Labels in the terminal: a line for each labeller and layer, and what is left where more confidence is asked for."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import Line, lines_of, varying
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae_labels.columns import SAE_LABELS

_SCORES = ("auroc", "f1", "accepted", "similarity")
_NAMES = {"auroc": "AUROC", "f1": "F1", "accepted": "F1>.5", "similarity": "similar"}
_ASKED = (0.5, 0.8, 1.0)


def labels_table(summary: pd.DataFrame) -> Table:
    """Scores on held-out clips of all labels; then the shares that are kept and above dealt labels, by confidence."""
    lines, outer = lines_of(summary), Table.grid()
    groups = _groups(lines, [axis for axis in varying(summary) if axis not in ("role", "asked", "labeller", "layer")])
    shown = [metric for metric in _SCORES if any(line[metric] == line[metric] for line in lines)]
    first, second = empty_table(), empty_table()
    first.add_column("labels", no_wrap=True)
    for name in ("n", *(name for metric in shown for name in (_NAMES[metric], "dealt")), "above"):
        first.add_column(name, justify="right", no_wrap=True)
    second.add_column("kept at a confidence", no_wrap=True)
    for asked in _ASKED:
        for name in (f"≥{asked:g}", "above"):
            second.add_column(name, justify="right", no_wrap=True)
    for name, by in groups.items():
        own, dealt = by["label", 0.0], by.get(("dealt", 0.0))
        cells = [str(own["n"])]
        for metric in shown:
            cells += [spread(own, metric) if metric == "auroc" else number(own[metric])]
            cells += [number(dealt[metric]) if dealt else "–"]
        first.add_row(name, *cells, number(own["above"]))
        shares = [number(by["label", asked][what]) for asked in _ASKED for what in ("kept", "above")]
        second.add_row(name, *shares)
    told = f"{lines[0]['width']} features, k {lines[0]['k']}, {lines[0]['activation']}"
    for part in (Text(f"Labels on held-out clips, {told}, model {lines[0]['model']}", style="bold"), first, second):
        outer.add_row(part)
    note = f"Dealt: {SAE_LABELS.controls[0].meaning}. Above: share whose AUROC's interval is above dealt ones'."
    outer.add_row(Text(note, style="dim"))
    return outer


def _groups(lines: list[Line], more: list[str]) -> dict[str, dict[tuple[str, float], Line]]:
    """By labeller, layer and what else differs; then by role and confidence."""
    found: dict[str, dict[tuple[str, float], Line]] = {}
    for line in lines:
        name = ", ".join([line["labeller"], f"layer {line['layer']}", *(f"{axis} {line[axis]}" for axis in more)])
        found.setdefault(name, {})[line["role"], line["asked"]] = line
    return found
