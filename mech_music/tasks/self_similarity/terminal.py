"""Self-similarity in the terminal: every layer's distance from the last, beside the control."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import blocks_of, layers_of
from mech_music.results.terminal import empty_table, number
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY


def similarity_table(summary: pd.DataFrame) -> Table:
    """Every layer's distance from the last, mean over concepts, beside the control."""
    outer = Table.grid()
    for lines in blocks_of(summary, SELF_SIMILARITY.axes_beside("layer", "other", "concept")):
        last = layers_of(lines)[-1]
        title = f"from layer {last} · {lines[0]['model']} (control: half a clip later)"
        outer.add_row(Text(title, style="bold"))
        table = empty_table()
        table.add_column("layer", no_wrap=True)
        for name in ("distance", "control", "time first", "control", "cosine", "control", "CKA", "control"):
            table.add_column(name, justify="right", style="cyan" if name == "control" else None)
        for layer in layers_of(lines):
            pair = [line for line in lines if line["layer"] == layer and line["other"] == last]
            cells = []
            for measure in SELF_SIMILARITY.metrics:
                for role in ("layers", "moved"):
                    values = [line[measure] for line in pair if line["role"] == role]
                    cells.append(number(sum(values) / len(values)) if values else "–")
            table.add_row(layer, *cells)
        outer.add_row(table)
    return outer
