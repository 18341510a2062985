"""The one table: every comparison a line, on the screen, as Markdown and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.table import Table

from mech_music.base.atomic import replacing
from mech_music.benchmarks.measure import Ratio, Timing, paired_ratio

COLUMNS = ("benchmark", "what", "first", "second", "unit", "first's", "second's", "first ÷ second", "note")


@dataclass(frozen=True)
class Line:
    """A comparison: two sides, their values (medians over rounds), and the ratio first ÷ second.

    ``rounds``: both sides' values in each round, in ``unit``.
    """

    benchmark: str
    what: str
    first: str
    second: str
    unit: str
    ratio: Ratio
    rounds: tuple[tuple[float, ...], tuple[float, ...]]
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows, in the order of its columns."""
        ratio = f"{_number(self.ratio.median)} [{_number(self.ratio.low)}, {_number(self.ratio.high)}]"
        values = (_number(median(values)) for values in self.rounds)
        return (self.benchmark, self.what, self.first, self.second, self.unit, *values, ratio, self.note)


@dataclass
class Report:
    """``header``: the machine and the code that were measured."""

    header: dict[str, str]
    lines: list[Line] = field(default_factory=list)

    def rich(self) -> Table:
        """The table for the terminal."""
        caption = " · ".join(f"{name} {value}" for name, value in self.header.items())
        table = Table(title="mech_music benchmarks", caption=caption, title_justify="left", caption_justify="left")
        for name in COLUMNS:
            numeric = name in ("first's", "second's", "first ÷ second")
            table.add_column(name, justify="right" if numeric else "left", no_wrap=name in ("benchmark", "unit"))
        for line in self.lines:
            table.add_row(*line.cells)
        return table

    def markdown(self, title: str = "Benchmarks") -> str:
        """The header as a list, then the table."""
        rows = [COLUMNS, ["---"] * len(COLUMNS), *(line.cells for line in self.lines)]
        listed = [f"- {name}: {value}" for name, value in self.header.items()]
        return "\n".join([f"# {title}", "", *listed, "", *map(_row, rows), ""])

    def save(self, folder: Path) -> None:
        """Write ``benchmarks.json`` and ``benchmarks.md``, whole or not at all."""
        content = {"header": self.header, "lines": [asdict(line) for line in self.lines]}
        texts = {"json": json.dumps(content, indent=1, ensure_ascii=False) + "\n", "md": self.markdown()}
        for suffix, text in texts.items():
            with replacing(folder / f"benchmarks.{suffix}") as path:
                path.write_text(text, encoding="utf-8")

    def save_page(self, folder: Path, card: str) -> None:
        """Write ``<card>.md`` into a folder that is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / page_name(card)) as path:
            path.write_text(self.markdown(f"{card}, measured"), encoding="utf-8")


def page_name(card: str) -> str:
    """``NVIDIA H200`` → ``nvidia-h200.md``."""
    return "-".join(re.findall(r"[a-z0-9]+", card.lower())) + ".md"


def compare(benchmark: str, what: str, first: Timing, second: Timing, unit: str = "s a clip", note: str = "") -> Line:
    """The line of two sides that took turns: seconds per unit of work."""
    values = (first.each, second.each)
    seconds = " and ".join(f"{_number(median(timing.seconds))} s" for timing in (first, second))
    note = "; ".join(part for part in (note, f"rounds of {seconds}") if part)
    return Line(benchmark, what, first.name, second.name, unit, paired_ratio(*values), values, note)


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
