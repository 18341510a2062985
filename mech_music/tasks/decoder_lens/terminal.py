"""Lenses and similarities in the terminal: a line for each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from mech_music.prompts.concepts import CONCEPTS, Category
from mech_music.results.columns import DECODER_LENS, SELF_SIMILARITY, TUNED_LENS, layer_order
from mech_music.tasks.interchange.controls import blocks_of

Line: TypeAlias = Mapping[str, Any]


def concepts_table(summary: pd.DataFrame) -> Table:
    """NDCG by layer and concept, the full model's below; bold where the interval lies above the control's."""
    outer = Table.grid()
    for lines in blocks_of(summary, DECODER_LENS.axes_beside("layer", "concept")):
        first = lines[0]
        title = f"NDCG · {first['lens']} lens, {first['reading']} · {first['component']} · {first['model']}"
        for kind in Category:
            concepts = [name for name, concept in CONCEPTS.items() if concept.category is kind]
            own = [line for line in lines if line["concept"] in concepts]
            if own:
                outer.add_row(Text(f"{title} · {kind.value}s", style="bold"))
                outer.add_row(_concepts(own, concepts))
                outer.add_row("")
    level = f"{100 * summary['level'].iloc[0]:g} %"
    words = f"Means over prompts. Bold: its {level} interval lies above that of the control, the same layer on prompts "
    outer.add_row(Text(f"{words}that name another concept. full: the whole model.", style="dim"))
    return outer


def _concepts(lines: list[Line], concepts: list[str]) -> Table:
    at = {(line["layer"], line["concept"], line["role"]): line for line in lines}
    shown = [concept for concept in concepts if concept in {line["concept"] for line in lines}]
    table = _empty()
    table.add_column("layer", no_wrap=True)
    for concept in shown:
        table.add_column(concept, justify="right", no_wrap=True)
    for layer in _layers(lines):
        table.add_row(layer, *(_beside(at[layer, name, "lens"], at[layer, name, "other"]) for name in shown))
    full = [at[_layers(lines)[0], name, "lens"]["ndcg_full"] for name in shown]
    table.add_row("full", *(_number(value) for value in full), style="dim")
    return table


def divergence_table(summary: pd.DataFrame) -> Table:
    """KL to the final distribution by layer, both lenses."""
    outer = Table.grid()
    for lines in blocks_of(summary, TUNED_LENS.axes_beside("lens", "layer")):
        title = f"KL(final ‖ lens), nats, on {lines[0]['n']} held-out clips · {lines[0]['model']}"
        outer.add_row(Text(title, style="bold"))
        table = _empty()
        table.add_column("layer", no_wrap=True)
        for name in ("decoder", "tuned", "tuned ÷ decoder", "decoder, guided", "tuned, guided"):
            table.add_column(name, justify="right", no_wrap=True)
        at = {(line["layer"], line["lens"]): line for line in lines}
        for layer in _layers(lines):
            plain, tuned = at[layer, "decoder"], at[layer, "tuned"]
            ratio = f"{tuned['kl'] / plain['kl']:.2f}"
            guided = [_spread(line, "kl_guided") for line in (plain, tuned)]
            table.add_row(layer, _spread(plain, "kl"), _spread(tuned, "kl"), ratio, *guided)
        outer.add_row(table)
    level = f"{100 * summary['level'].iloc[0]:g} %"
    outer.add_row(Text(f"Mean ± half of the {level} interval over clips. guided: after guidance.", style="dim"))
    return outer


def similarity_table(summary: pd.DataFrame) -> Table:
    """Every layer's distance from the last, mean over concepts, beside the control."""
    outer = Table.grid()
    for lines in blocks_of(summary, SELF_SIMILARITY.axes_beside("layer", "other", "concept")):
        last = _layers(lines)[-1]
        title = f"from layer {last} · {lines[0]['model']} (control: half a clip later)"
        outer.add_row(Text(title, style="bold"))
        table = _empty()
        table.add_column("layer", no_wrap=True)
        for name in ("distance", "control", "cosine", "control", "CKA", "control"):
            table.add_column(name, justify="right", style="cyan" if name == "control" else None)
        for layer in _layers(lines):
            pair = [line for line in lines if line["layer"] == layer and line["other"] == last]
            cells = []
            for measure in ("distance", "cosine", "cka"):
                for role in ("layers", "moved"):
                    values = [line[measure] for line in pair if line["role"] == role]
                    cells.append(_number(sum(values) / len(values)) if values else "–")
            table.add_row(layer, *cells)
        outer.add_row(table)
    return outer


def _empty() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))


def _layers(lines: list[Line]) -> list[str]:
    return sorted({line["layer"] for line in lines}, key=layer_order)


def _beside(line: Line, control: Line) -> Text:
    above = line["ndcg_low"] > control["ndcg_high"]
    return Text(_number(line["ndcg"]), style="bold" if above else "")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _spread(line: Line, metric: str) -> str:
    return f"{_number(line[metric])} ±{(line[f'{metric}_high'] - line[f'{metric}_low']) / 2:.2f}"
