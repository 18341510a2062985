"""Which clips of an interchange are worth hearing: the strongest, the median and the weakest effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mech_music.results.audio import Choice
from mech_music.results.columns import layer_order
from mech_music.results.tables import lines_of
from mech_music.tasks.interchange.columns import AXES


def chosen_clips(table: pd.DataFrame, strongest: int, weakest: int, median: int = 0) -> list[Choice]:
    """The technique's clips of the greatest and of the least effectiveness, and those nearest to the middle rank.

    None is chosen twice: of few clips, the middle ones are among the others. Failed clips are passed over; equals are
    taken in the table's order of axes and prompts.
    """
    measured = table.query("role == 'technique' and not failed").dropna(subset=["effectiveness"])
    lines = lines_of(measured)
    lines.sort(key=lambda line: (-line["effectiveness"], *_place(line)))
    first = lines[:strongest]
    last = lines[max(len(first), len(lines) - weakest) :][::-1] if weakest else []
    between = range(len(first), len(lines) - len(last))
    middle = [lines[at] for at in sorted(between, key=lambda at: abs(2 * at + 1 - len(lines)))[:median]]
    chosen = {"strongest": first, "median": middle, "weakest": last}
    return [_choice(f"{which}-{rank}", line) for which, own in chosen.items() for rank, line in enumerate(own, 1)]


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    axes = [layer_order(line[axis]) if axis == "layer" else line[axis] for axis in AXES]
    return (*axes, line["index"], line["repeat"])


def _choice(rank: str, line: Mapping[str, Any]) -> Choice:
    head = f" head {line['head']}" if line["head"] else ""
    what = f"{line['technique']} {line['component']} layer {line['layer']}{head}"
    facts = ("original", "desired", "technique", "component", "layer", "head", "index", "effectiveness", "prompt")
    return Choice(
        name=f"{rank}_layer-{line['layer']}_prompt-{line['index']:03d}",
        caption=f"{line['original']} → {line['desired']}, {what}, effectiveness {line['effectiveness']:+.1f} nats: "
        f"{line['prompt']}",
        versions={"original": line["baseline"], "edited": line["row"]},
        facts={name: line[name] for name in facts},
    )
