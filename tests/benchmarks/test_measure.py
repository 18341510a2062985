"""The paired timer and its statistics, on clocks that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mech_music.benchmarks.measure import Side, Timing, alternate, paired_ratio
from mech_music.benchmarks.table import Report, compare


class Clock:
    """Time passes only when somebody works."""

    def __init__(self) -> None:
        self.now, self.log, self.threads = 0.0, "", 0

    def side(self, name: str, seconds: list[float], threads: int = 0) -> Side:
        """A side that takes ``seconds[round]``."""

        def work(number: int) -> None:
            self.log += name
            self.now += seconds[number]
            self.threads = torch.get_num_threads()

        return Side(name, work, amount=2, threads=threads)


def test_sides_take_turns_and_the_first_round_is_not_timed() -> None:
    clock = Clock()
    a, b = clock.side("A", [99, 4, 6, 2]), clock.side("B", [99, 2, 2, 2])
    first, second = alternate([a, b], rounds=3, clock=lambda: clock.now)
    assert clock.log == "ABABABAB"
    assert (first.seconds, second.seconds) == ((4, 6, 2), (2, 2, 2))
    assert first.each == (2, 3, 1)
    ratio = paired_ratio(first.each, second.each)
    assert (ratio.median, ratio.low, ratio.high) == (2, 1, 3)


def test_ratios_are_paired() -> None:
    """A machine that is ten times slower in one round slows both sides: the ratio does not see it."""
    ratio = paired_ratio((2.0, 20.0, 2.0), (1.0, 10.0, 1.0))
    assert (ratio.median, ratio.low, ratio.high) == (2, 2, 2)
    with pytest.raises(ValueError, match="as many values"):
        paired_ratio((1.0, 2.0), (1.0,))


def test_each_side_has_its_own_threads() -> None:
    clock, before = Clock(), torch.get_num_threads()
    alternate([clock.side("A", [1, 1], threads=before + 1)], rounds=1, clock=lambda: clock.now)
    assert clock.threads == before + 1
    assert torch.get_num_threads() == before


def test_the_table_is_saved_as_it_is_shown(tmp_path: Path) -> None:
    line = compare("decode", "what", Timing("slow", (8.0, 6.0, 4.0), 2), Timing("fast", (2.0, 2.0, 2.0), 2), note="why")
    report = Report({"commit": "abc"}, [line])
    report.save(tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "- commit: abc" in text
    assert "| decode | what | slow | fast | s a clip | 3.00 | 1.00 | 3.00 [2.00, 4.00] | why; rounds of 6.00 s" in text
    saved = json.loads((tmp_path / "benchmarks.json").read_text())
    assert saved["lines"][0]["rounds"] == [[4.0, 3.0, 2.0], [1.0, 1.0, 1.0]]
    assert report.rich().row_count == 1
