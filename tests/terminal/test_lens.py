"""Lenses and similarities on the screen: a line for each layer, with the numbers of the summary."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.results.tables import summarise
from mech_music.results.terminal import terminal_table
from tests.made_up_lenses import LAYERS, decoder_lens_table, self_similarity_table, tuned_lens_table


def _shown(table: pd.DataFrame, styled: bool = False) -> list[str]:
    console = Console(width=100, file=StringIO(), force_terminal=styled, color_system="truecolor" if styled else None)
    with console.capture() as capture:
        console.print(terminal_table(summarise(table, 100, 0.95, 0), 100))
    text = capture.get()
    assert "…" not in text
    return text.splitlines()


def _row(lines: list[str], first: str) -> list[str]:
    return next(line for line in lines if line.split()[:1] == [first]).split()


def test_ndcg_by_layer_and_concept() -> None:
    lines = _shown(decoder_lens_table())
    words = " ".join(" ".join(lines).split())
    assert words.startswith("NDCG · decoder lens, free · mlp · tiny")
    at = {concept: lines[next(n for n, line in enumerate(lines) if line.split() == ["layer", concept]) :]
          for concept in ("guitar", "jazz")}  # fmt: skip
    for below in at.values():
        for layer, wanted in zip(LAYERS, ("0.20", "0.30", "0.40", "0.50"), strict=True):
            assert _row(below, layer) == [layer, wanted]
        assert _row(below, "full") == ["full", "0.70"]


def test_bold_is_above_the_control() -> None:
    lines = _shown(decoder_lens_table(), styled=True)
    bold = {number: any("\x1b[1m" + number in line for line in lines) for number in ("0.20", "0.30", "0.50")}
    assert bold == {"0.20": False, "0.30": True, "0.50": True}


def test_divergence_of_both_lenses() -> None:
    lines = _shown(tuned_lens_table())
    assert "KL(final ‖ lens), nats, on 6 held-out clips · tiny" in lines[0]
    (row,) = [line for line in lines if line.startswith("1 ")]
    plain, tuned, ratio, *_ = row.replace(" ±", "±").split()[1:]
    assert (plain.split("±")[0], tuned.split("±")[0], ratio) == ("3.00", "0.75", "0.25")


def test_distance_from_the_last_layer() -> None:
    lines = _shown(self_similarity_table(("guitar", "jazz")))
    assert "from layer 10 · tiny" in lines[0]
    assert _row(lines, "1") == ["1", "2.00", "10.00", "1.00", "5.00", "0.80", "0.00", "0.90", "0.50"]
    assert _row(lines, "10")[1] == "0.00"


@pytest.mark.parametrize("table", [decoder_lens_table, self_similarity_table])
def test_missing_values_are_dashes(table) -> None:
    empty = table()
    names = empty.select_dtypes("float64").columns.drop("duration")
    empty[names] = np.nan
    assert "nan" not in "".join(_shown(empty))
