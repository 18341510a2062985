"""Labels in the terminal: a line for each labeller and layer, and what is left where more confidence is asked for."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import Line, lines_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae_labels.columns import SAE_LABELS

_COLUMNS = ("labels", "features", "AUROC", "dealt", "F1", "dealt", "F1 > .5", "dealt", "above dealt")
_ASKED = (0.0, 0.5, 0.8)


def labels_table(summary: pd.DataFrame) -> Table:
    """Scores on held-out clips of all labels; then the shares that are kept and accepted by confidence."""
    outer, groups = Table.grid(), _groups(lines_of(summary))
    first, second = empty_table(), empty_table()
    for place, name in enumerate(_COLUMNS):
        first.add_column(name, justify="right" if place else "left", no_wrap=True)
    second.add_column("confidence asked", no_wrap=True)
    for asked in _ASKED:
        for what in (f"≥ {asked:g}: kept", "F1 > .5"):
            second.add_column(what, justify="right", no_wrap=True)
    similar = any(line["similarity"] == line["similarity"] for line in lines_of(summary))
    if similar:
        first.add_column("similarity", justify="right", no_wrap=True)
        first.add_column("dealt", justify="right", no_wrap=True)
    for name, by in groups.items():
        own, dealt = by["label", 0.0], by.get(("dealt", 0.0))
        cells = [str(own["n"])]
        for metric in ("auroc", "f1", "accepted", *(("above",) if not similar else ("above", "similarity"))):
            cells.append(spread(own, metric))
            cells += [] if metric == "above" else [number(dealt[metric]) if dealt else "–"]
        first.add_row(name, *cells)
        shares = [number(by["label", asked][what]) for asked in _ASKED for what in ("kept", "accepted")]
        second.add_row(name, *shares)
    title = f"Labels on held-out clips, model {lines_of(summary)[0]['model']}"
    for part in (Text(title, style="bold"), first, second):
        outer.add_row(part)
    outer.add_row(Text(f"Dealt: {SAE_LABELS.controls[0].meaning}. F1 > .5: share of the labels kept.", style="dim"))
    return outer


def _groups(lines: list[Line]) -> dict[str, dict[tuple[str, float], Line]]:
    """By labeller, layer and SAE; then by role and confidence."""
    found: dict[str, dict[tuple[str, float], Line]] = {}
    for line in lines:
        sae = f"{line['width']}/{line['k']} {line['activation']}, seed {line['seed']}"
        name = f"{line['labeller']}, {line['component']} {line['layer']}, {sae}"
        found.setdefault(name, {})[line["role"], line["asked"]] = line
    return found
