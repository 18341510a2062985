"""Which patched clips are worth hearing."""

from __future__ import annotations

import pandas as pd

from mech_music.config.schema import AudioConfig
from mech_music.results.audio import Choice
from mech_music.results.tables import Line, lines_of


def chosen_clips(table: pd.DataFrame, audio: AudioConfig) -> list[Choice]:
    """The strongest effects, those nearest to the middle rank, and the weakest; none twice, no failed clip."""
    measured = table.query("role == 'patch' and not failed").dropna(subset=["effect"])
    lines = sorted(lines_of(measured), key=lambda line: -line["effect"])
    first = lines[: audio.strongest]
    last = lines[max(len(first), len(lines) - audio.weakest) :][::-1] if audio.weakest else []
    between = range(len(first), len(lines) - len(last))
    middle = sorted(between, key=lambda at: abs(2 * at + 1 - len(lines)))[: audio.median]
    chosen = {"strongest": first, "median": [lines[at] for at in sorted(middle)], "weakest": last}
    return [_choice(f"{which}-{rank}", line) for which, own in chosen.items() for rank, line in enumerate(own, 1)]


def _choice(rank: str, line: Line) -> Choice:
    head = f"head{line['head']}" if line["head"] else ""
    site = "-".join(filter(None, [f"{line['component']}{line['layer']}", head, line["receiver"]]))
    facts = (
        "direction",
        "original",
        "desired",
        "component",
        "layer",
        "head",
        "receiver",
        "frames",
        "index",
        "effect",
        "prompt",
    )
    return Choice(
        name=f"{rank}_{line['direction']}_{site}_prompt-{line['index']:03d}",
        caption=f"{line['direction']} at {site}, {line['original']} and {line['desired']}, effect "
        f"{line['effect']:+.1f} nats: {line['prompt']}",
        versions={"run": line["baseline"], "source": line["source"], "patched": line["row"]},
        facts={name: line[name] for name in facts},
    )
