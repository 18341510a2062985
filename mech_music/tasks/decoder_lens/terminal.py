"""DecoderLens in the terminal: a line for each layer, a column for each concept."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.prompts.declared import by_category
from mech_music.results.tables import Line, blocks_of, layers_of
from mech_music.results.terminal import empty_table, number
from mech_music.tasks.decoder_lens.columns import DECODER_LENS


def concepts_table(summary: pd.DataFrame) -> Table:
    """NDCG by layer and concept, the full model's below; bold where the interval lies above the control's."""
    outer = Table.grid()
    for lines in blocks_of(summary, DECODER_LENS.axes_beside("layer", "concept")):
        first = lines[0]
        title = f"NDCG · {first['lens']} lens, {first['reading']} · {first['component']} · {first['model']}"
        kinds = by_category(first["prompt_set"], [line["concept"] for line in lines])
        for kind, concepts in kinds.items():
            outer.add_row(Text(f"{title} · {kind}s" if kind else title, style="bold"))
            outer.add_row(_concepts(lines, concepts))
            outer.add_row("")
    level = f"{100 * summary['level'].iloc[0]:g} %"
    words = f"Means over prompts. Bold: its {level} interval lies above that of the control, the same layer on prompts "
    outer.add_row(Text(f"{words}that name another concept. full: the whole model.", style="dim"))
    return outer


def _concepts(lines: list[Line], shown: list[str]) -> Table:
    at = {(line["layer"], line["concept"], line["role"]): line for line in lines}
    table = empty_table()
    table.add_column("layer", no_wrap=True)
    for concept in shown:
        table.add_column(concept, justify="right", no_wrap=True)
    for layer in layers_of(lines):
        table.add_row(layer, *(_beside(at[layer, name, "lens"], at[layer, name, "other"]) for name in shown))
    full = [at[layers_of(lines)[0], name, "lens"]["ndcg_full"] for name in shown]
    table.add_row("full", *(number(value) for value in full), style="dim")
    return table


def _beside(line: Line, control: Line) -> Text:
    above = line["ndcg_low"] > control["ndcg_high"]
    return Text(number(line["ndcg"]), style="bold" if above else "")
