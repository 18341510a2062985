"""How a metric is called and what it means: declared once, beside its function, and read wherever it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Metric:
    """A column of numbers that summaries average.

    unit: empty for shares and counts. meaning: a clause that says what it is. word: how labels call it, if not by its
    name. also: the name under which people search for it. note: what its size says, short, below an axis label.
    share: each clip has it or has it not (1 or 0).
    """

    name: str
    unit: str = ""
    meaning: str = ""
    word: str = ""
    also: str = ""
    note: str = ""
    share: bool = False
    dtype: ClassVar[str] = "float64"

    @property
    def title(self) -> str:
        """``effectiveness, log-odds (nats)``."""
        words = ", ".join(filter(None, [self.word or self.name, self.also]))
        return f"{words} ({self.unit})" if self.unit else words

    @property
    def label(self) -> str:
        """The title, and the note in a line below."""
        return "\n".join(filter(None, [self.title, self.note]))
