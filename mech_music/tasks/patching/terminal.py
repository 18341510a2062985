"""Patching in the terminal: the share of the way at every site, marked where it is above its controls."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.beside import beside_controls, controls_run
from mech_music.results.tables import ABOVE, BELOW, EQUAL, Line, blocks_of, layers_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.patching.columns import PATCHING

_MARKS = {ABOVE: "▲", BELOW: "▼", EQUAL: "≈"}
_BLOCK = PATCHING.axes_beside("component", "layer", "head", "receiver")


def share_table(summary: pd.DataFrame) -> Table:
    """A block for each pair, direction and window: layers down, components (heads, receivers) across."""
    outer, effects = Table.grid(), beside_controls(summary, ["effect"])
    several = len(set(effects["frames"])) > 1
    for lines in blocks_of(effects, _BLOCK):
        first = lines[0]
        window = f" · steps {first['frames']}" if several else ""
        title = f"{first['original']} and {first['desired']} · {first['direction']}{window} · {first['model']}"
        outer.add_row(Text(title, style="bold"))
        outer.add_row(_block(lines))
        way = f"the whole way {spread(first, 'gap', '+')} nats, n = {first['n']}"
        outer.add_row(Text(f"greatest: {_site(best := max(lines, key=_effect))} {_told(best)} · {way}", style="cyan"))
        outer.add_row("")
    names = ", ".join(role.name for role in controls_run(summary)) or "none"
    level = effects["level"].iloc[0]
    text = (
        "Share of the way, in log-odds, from the run (0) to the clip that activations come from (1). ▲ above, ▼ below "
        f"every control ({names}), prompt by prompt: p ≤ {1 - level:.2g} over all sites of the table. ≈ within "
        f"{effects['equivalence'].iloc[0]:g} nats of every control, as far as intervals tell."
    )
    outer.add_row(Text(text, style="dim"))
    return outer


def _block(lines: list[Line]) -> Table:
    columns = list(dict.fromkeys((line["component"], line["head"], line["receiver"]) for line in lines))
    at = {(line["layer"], line["component"], line["head"], line["receiver"]): line for line in lines}
    table = empty_table()
    table.add_column("layer", no_wrap=True)
    for component, head, receiver in columns:
        name = " → ".join(filter(None, [f"{component} head {head}" if head else component, receiver]))
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers_of(lines):
        found = [at.get((layer, *column)) for column in columns]
        table.add_row(layer, *(_cell(line) if line else "" for line in found))
    return table


def _cell(line: Line) -> str:
    return f"{number(line['share'])} {_MARKS.get(line['verdict'], ' ')}"


def _site(line: Line) -> str:
    head = f" head {line['head']}" if line["head"] else ""
    return " → ".join(filter(None, [f"{line['component']} {line['layer']}{head}", line["receiver"]]))


def _effect(line: Line) -> float:
    return line["effect"] if line["effect"] == line["effect"] else float("-inf")


def _told(line: Line) -> str:
    margin = f", margin {spread(line, 'margin', '+')} over {line['over']}" if line["over"] else ""
    return f"effect {spread(line, 'effect', '+')} nats{margin}, share {spread(line, 'share')}"
