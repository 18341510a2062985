"""SAEs in the terminal: a line for each, then what tells concepts beside its features."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import lines_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae.columns import SAE

_SHOWN = ("fvu", "fvu_uncond", "l0", "dead", "recovered", "agreement")
_NAMES = ("FVU", "uncond", "L0", "dead", "KL recovered", "agreement")
_TELLING = ("sae", "neuron", "pca", "random", "shuffled")


def sae_table(summary: pd.DataFrame) -> Table:
    """What is explained and kept on held-out clips; the mean AUROC over words of what tells each best."""
    lines, outer = lines_of(summary), Table.grid()
    first = empty_table()
    for name in ("SAE", *_NAMES):
        first.add_column(name, justify="left" if name == "SAE" else "right", no_wrap=True)
    for line in (line for line in lines if line["measured"] == "clips" and line["role"] == "sae"):
        first.add_row(_name(line), *(number(line[metric]) for metric in _SHOWN))
    second = empty_table()
    for name in ("AUROC of the best", "SAE", "neuron", "PCA", "random", "shuffled"):
        second.add_column(name, justify="left" if name.startswith("AUROC") else "right", no_wrap=True)
    told: dict[str, dict[str, str]] = {}
    for line in (line for line in lines if line["measured"] == "concepts"):
        told.setdefault(_name(line), {})[line["role"]] = spread(line, "auroc")
    for name, found in told.items():
        second.add_row(name, *(found[role] for role in _TELLING))
    for part in (Text(f"On held-out prompts, model {lines[0]['model']}", style="bold"), first, second):
        outer.add_row(part)
    note = f"{SAE.metric('recovered').meaning}. Neuron, PCA: with sign; random: a dictionary of the same size."
    outer.add_row(Text(note, style="dim"))
    return outer


def _name(line: object) -> str:
    assert isinstance(line, dict)
    return f"{line['component']} {line['layer']}, {line['width']}/{line['k']} {line['activation']}, seed {line['seed']}"
