"""The page of tasks that read layers: every number is the table's, every sound belongs to its cell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mech_music.report.found import Found, read_results
from mech_music.report.page import Page, build
from mech_music.tables import summarise, write_summary, write_table
from tests.made_up_lenses import decoder_lens_table, self_similarity_table, tuned_lens_table


def part(page: Page, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.html, re.S)
    assert found is not None
    return json.loads(found[1])


def test_every_number_is_the_summary_s(lens_page: Page, lens: Found) -> None:
    data = part(lens_page, "data")
    assert (data["concepts"], data["layers"]) == (["guitar", "jazz"], ["0", "6", "7"])
    lines = lens.summary.set_index(["role", "concept", "layer"])
    assert len(data["lines"]) == 6
    for cell in data["lines"]:
        own, other = (lines.loc[(role, cell["concept"], cell["layer"])] for role in ("lens", "other"))
        for end in ("", "_low", "_high"):
            assert cell[f"ndcg{end}"] == pytest.approx(own[f"ndcg{end}"])
            assert cell[f"other_ndcg{end}"] == pytest.approx(other[f"ndcg{end}"])


def test_the_clips_of_a_cell_are_its_own(lens_page: Page, lens: Found) -> None:
    data, sounds = part(lens_page, "data"), part(lens_page, "sounds")
    assert {int(cell) for cell in data["samples"]} == set(range(6))
    table = lens.table[lens.table["role"] == "lens"].set_index(["concept", "layer", "index"])
    for number, samples in data["samples"].items():
        cell = data["lines"][int(number)]
        assert [sample["index"] for sample in samples] == [0, 1]
        for sample in samples:
            line = table.loc[(cell["concept"], cell["layer"], sample["index"])]
            assert (sample["row"], sample["baseline"]) == (line["row"], line["baseline"])
            assert {sample["row"], sample["baseline"]} <= sounds.keys()
            heard = [label["here"] for label in sample["labels"]]
            assert heard == sorted(heard, reverse=True)
    assert lens_page.clips == len(sounds)


def test_the_page_needs_nothing_else(lens_page: Page) -> None:
    assert not re.search(r'(src|href)="(?!data:|#)', lens_page.html)
    assert "python -m mech_music.run" in lens_page.html and lens_page.html.count("data:image/svg+xml") == 1


def test_without_clips(lens: Found) -> None:
    page = build(lens, audio=False)
    assert page.clips == 0 and "made without clips" in page.html


@pytest.mark.parametrize("table", [tuned_lens_table(), self_similarity_table(), decoder_lens_table(("guitar",))])
def test_a_folder_with_tables_only(tmp_path: Path, table: pd.DataFrame) -> None:
    summary = summarise(table, 20, 0.95, 0)
    write_table(table, tmp_path / "table.parquet")
    write_summary(summary, tmp_path / "summary.parquet")
    page = build(read_results(tmp_path))
    assert page.clips == 0 and "No config was found" in page.html
    assert page.html.count("<tr>") >= len(summary)
