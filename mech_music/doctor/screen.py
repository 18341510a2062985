"""One screen: the machine, every model, and whether the one that was asked for can run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from mech_music.config.axes import n_steps
from mech_music.doctor.machine import Line
from mech_music.doctor.verdict import Verdict
from mech_music.models.musicgen.footprint import gigabytes
from mech_music.models.protocol import MIN_PASS


def show_machine(console: Console, versions: Iterable[Line], rest: Iterable[Line]) -> None:
    """Versions on a line or two, the rest a line each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row("versions", ", ".join(" ".join(line) for line in versions))
    for name, text in rest:
        grid.add_row(name, text)
    console.print(grid)


def show_models(console: Console, verdicts: Sequence[Verdict], measured: dict[str, float]) -> None:
    """Every model: its weights here, its parameters, and how many clips fit in memory at once (beside the weights).

    In 80 columns, so that no number is cut.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("model", "weights", "size", "loaded", "a clip", "fit at once", "clips/s"):
        table.add_column(name, justify="left" if name in ("model", "weights") else "right", no_wrap=True)
    for verdict in sorted(verdicts, key=lambda one: one.shape.parameters if one.shape else 0):
        speed = measured.get(verdict.run.model.name)
        table.add_row(verdict.run.model.name, _weights(verdict), *_size(verdict), f"{speed:.1f}" if speed else "–")
    console.print(table)


def _weights(verdict: Verdict) -> str:
    whole = sum(not part.missing() for part in verdict.parts)
    return "here" if whole == len(verdict.parts) else f"{whole} of {len(verdict.parts)}"


def _size(verdict: Verdict) -> tuple[str, str, str, str]:
    shape, dtype = verdict.shape, verdict.run.model.dtype.value
    if shape is None:
        return "unknown", "unknown", "unknown", "unknown"
    cache = shape.row_bytes(n_steps(verdict.run), dtype)
    rows = "unknown" if verdict.rows is None else str(verdict.rows) if verdict.rows >= MIN_PASS else "none"
    return f"{shape.parameters / 1e6:,.0f} M", _bytes(shape.weight_bytes(dtype)), _bytes(cache), rows


def _bytes(size: int) -> str:
    return gigabytes(size) if size >= 1e9 else f"{size / 1e6:.0f} MB"


def show_verdict(console: Console, verdict: Verdict, words: Sequence[str]) -> None:
    """The last lines: yes, or no and why; and for weights, what gets them. ``words``: what was asked about."""
    name = verdict.run.model.name
    asked = shlex.join(words or [f"model={name}"])
    if not verdict.reasons:
        console.print(f"model={name} can run here: python -m mech_music.run {asked}")
        return
    console.print(f"model={name} cannot run here:")
    for reason in verdict.reasons:
        console.print(f"  {reason}")
    if any(part.missing() for part in verdict.parts):
        console.print(f"  all of its weights: python -m mech_music.doctor --fetch {asked}")
