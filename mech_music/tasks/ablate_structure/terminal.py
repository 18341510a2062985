"""What carries returns, in the terminal: what edits cost, what is written under them, what patching brings back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import Line, blocks_of, title_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.ablate_structure.columns import ABLATE_STRUCTURE

_BLOCK = ABLATE_STRUCTURE.axes_beside("measured", "kind", "size", "how", "layer", "head")
_ROLES = ("found", "random", "local")
_LISTED = 8


def causal_table(summary: pd.DataFrame) -> RenderableType:
    """A block for each set of pieces and kind of candidates."""
    parts: list[RenderableType] = [Text(title_of(summary), style="bold")]
    for lines in blocks_of(summary, _BLOCK):
        first = lines[0]
        parts.append(Text(f"{first['candidates']}, pieces {first['pieces']}, half {first['half']}", style="cyan"))
        parts.append(_costs([line for line in lines if line["measured"] == "likelihood"]))
        for measured, table in (("generation", _generation), ("patching", _patching), ("heads", _heads)):
            if own := [line for line in lines if line["measured"] == measured]:
                parts.append(table(own))
    note = (
        "Δ: nats a token with the edit, less those without; ratio: Δ returns ÷ Δ new (its interval: causal.json). "
        "▲: returns lose more than by random and local ones, over all lines of the table together."
    )
    return Group(*parts, Text(note, style="dim"))


def _costs(lines: Sequence[Line]) -> Table:
    table = empty_table()
    for name in ("edit", "size", "by", "Δ returns", "Δ new", "Δ decoy", "returns − new", "ratio"):
        table.add_column(name, justify="left" if name in ("edit", "by") else "right", no_wrap=True)
    at = {(line["role"], line["how"], line["size"], line["kind"]): line for line in lines}
    edits = dict.fromkeys((line["how"], line["size"]) for line in lines if line["role"] == "found")
    for how, size in sorted(edits, key=lambda one: (one[0] != "mean", *one)):
        for role in _ROLES:
            own = {
                kind: at[role, how, size, kind] for kind in ("returns", "new", "decoy") if (role, how, size, kind) in at
            }
            if "returns" in own:
                cells = [_cell(own, kind, "delta") for kind in ("returns", "new", "decoy")]
                mark = " ▲" if own["returns"]["p_above"] <= 1 - own["returns"]["level"] + 1e-12 else ""
                table.add_row(
                    how, str(size), role + mark, *cells, _cell(own, "returns", "difference"), _ratio(own),
                    style=None if role == "found" else "dim",
                )  # fmt: skip
    return table


def _cell(own: Mapping[str, Line], kind: str, metric: str) -> str:
    if kind not in own or math.isnan(own[kind][metric]):
        return "–"
    half = (own[kind][metric + "_high"] - own[kind][metric + "_low"]) / 2
    told = f"{own[kind][metric]:+.3f} ±{half:.3f}".replace("-", "−")
    return re.sub(r"(?<![\d.])0(?=\.)", "", told)  # narrow terminals


def _ratio(own: Mapping[str, Line]) -> str:
    if "new" not in own or not own["returns"]["delta"] > 0:
        return "–"
    new = own["new"]["delta"]
    return number(own["returns"]["delta"] / new) if new > 0 else "∞"


def _generation(lines: Sequence[Line]) -> Table:
    return _plain(lines, {"agreement": "", "contrast": "+", "lost": "+", "surprise": "+"}, "written returns")


def _patching(lines: Sequence[Line]) -> Table:
    return _plain(lines, {"restored": "", "nats": "", "delta": "+"}, "patched")


def _plain(lines: Sequence[Line], metrics: Mapping[str, str], title: str) -> Table:
    """A line for each role and size."""
    table = empty_table()
    for name in (title, "size", *(ABLATE_STRUCTURE.metric(metric).word or metric for metric in metrics)):
        table.add_column(name, justify="left" if name == title else "right", no_wrap=True)
    for line in lines:
        cells = [spread(line, metric, sign) for metric, sign in metrics.items()]
        table.add_row(line["role"], str(line["size"] or ""), *cells, style=None if line["role"] == "found" else "dim")
    return table


def _heads(lines: Sequence[Line]) -> Table:
    """The heads that look at the source most."""
    metrics = ("source", "elsewhere", "same_lag", "aligned", "recent", "copying")
    table = empty_table()
    for name in ("head", *(metric.replace("_", " ") for metric in metrics)):
        table.add_column(name, justify="right", no_wrap=True)
    known = [line for line in lines if not math.isnan(line["source"])]
    for line in sorted(known, key=lambda line: -line["source"])[:_LISTED]:
        table.add_row(f"{line['layer']}.{line['head']}", *(spread(line, metric) for metric in metrics))
    return table
