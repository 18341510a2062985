"""Which clips of an interchange are worth hearing: the strongest and the weakest effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mech_music.results.audio import Choice
from mech_music.results.columns import layer_order
from mech_music.results.tables import lines_of
from mech_music.tasks.interchange.columns import AXES


def strongest_and_weakest(table: pd.DataFrame, strongest: int, weakest: int) -> list[Choice]:
    """The technique's clips of the greatest and of the least effectiveness, never one clip in both.

    Failed clips are passed over; equals are taken in the table's order of axes and prompts.
    """
    measured = table.query("role == 'technique' and not failed").dropna(subset=["effectiveness"])
    lines = lines_of(measured)
    lines.sort(key=lambda line: (-line["effectiveness"], *_place(line)))
    first = lines[:strongest]
    last = lines[max(len(first), len(lines) - weakest) :][::-1] if weakest else []
    ranked = [("strongest", rank, line) for rank, line in enumerate(first, 1)]
    ranked += [("weakest", rank, line) for rank, line in enumerate(last, 1)]
    return [_choice(f"{end}-{rank}", line) for end, rank, line in ranked]


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    axes = [layer_order(line[axis]) if axis == "layer" else line[axis] for axis in AXES]
    return (*axes, line["index"], line["repeat"])


def _choice(rank: str, line: Mapping[str, Any]) -> Choice:
    what = f"{line['technique']} {line['component']} layer {line['layer']}"
    facts = ("original", "desired", "technique", "component", "layer", "index", "effectiveness", "prompt")
    return Choice(
        name=f"{rank}_layer-{line['layer']}_prompt-{line['index']:03d}",
        caption=f"{line['original']} → {line['desired']}, {what}, effectiveness {line['effectiveness']:+.1f} nats: "
        f"{line['prompt']}",
        versions={"original": line["baseline"], "edited": line["row"]},
        facts={name: line[name] for name in facts},
    )
