"""What the page looks like on each screen, what it leaves on disk, and two runs on one page: in a real browser."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from mech_music.report.found import read_results
from mech_music.report.two_runs import build as build_two
from tests.report.browser import opened
from tests.report.conftest import written
from tests.report.test_browser import AT
from tests.report.test_folders import job

# -- the main result, files, and narrow screens ----------------------------------------------------------


def test_the_main_result_and_its_sound_are_above_the_fold(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280, height=800):
        for part in ("#result-words", "#result-clip audio >> nth=0", "#result-clip .versions"):
            box = page.locator(part).bounding_box()
            assert box["y"] + box["height"] <= 800, part
        words = page.locator("#result-words").inner_text()
        best = page.evaluate("mainResult(LINES.filter(isMeasured))")
        for name in ("effectiveness", "precision"):
            assert page.evaluate("([name, value]) => written(name, value)", [name, best[name]]) in words
        for control in ("self", "random", "noise"):
            assert f"{control} " in words
        assert f"flipped in {round(best['flipped'] * best['n'])} of 3 clips" in words
        assert ("Nothing is marked" in words) is (best["verdict"] != 1)


def downloaded(page: Any, button: Any) -> tuple[str, list[dict[str, str]]]:
    with page.expect_download() as found:
        button.click()
    text = Path(found.value.path()).read_bytes().decode()
    assert text.endswith("\r\n")
    return found.value.suggested_filename, list(csv.DictReader(io.StringIO(text, newline="")))


def test_tables_are_downloaded_as_they_are(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280, address=AT):
        lines = {line["cell"]: line for line in page.evaluate("LINES")}
        name, rows = downloaded(page, page.locator("#heat-csv button"))
        assert name == "2-pairs-of-concepts-model-tiny_heat-map_jazz-rock_strength-2.csv"
        shown = [lines[int(one.get_attribute("data-cell"))] for one in page.locator("#heat button").all()]
        told = {(row["component"], row["layer"]): row for row in rows}
        assert len(told) == len(rows) == len(shown) == 6
        for line in shown:
            row = told[line["component"], line["layer"]]
            assert {row["original"], row["desired"], row["strength"]} == {"jazz", "rock", "2"}
            for metric in ("effectiveness", "effectiveness_low", "precision", "self_kept_high", "p_above"):
                assert float(row[metric]) == line[metric], metric
        names = {downloaded(page, button)[0] for button in page.locator("button.csv:visible").all()}
        assert len(names) == page.locator("button.csv:visible").count() >= 6, "each table has a name of its own"


def test_fields_are_quoted(desktop: Any) -> None:
    fields = ["a", 'says "no", twice', "line\nbreak", None, -0.25, "piano → violin"]
    text = desktop.evaluate("(fields) => csvText([fields, fields])", fields)
    expected = ["a", 'says "no", twice', "line\nbreak", "", "-0.25", "piano → violin"]
    assert list(csv.reader(io.StringIO(text, newline=""))) == [expected, expected]
    assert text.count("\r\n") == 2


# What is wider than the screen, but for what can be scrolled to.
CUT = """() => [...document.querySelectorAll("main *, header *")].filter((node) => {
  const box = node.getBoundingClientRect();
  const cut = box.right > innerWidth + 1 || box.left < -1;
  return cut && box.width > 1 && !node.closest(".scroll, .chart, pre, .unseen, .skip");
}).map((node) => `${node.tagName} ${node.id} ${node.className}`)"""


def test_nothing_is_cut_on_a_phone_and_wide_tables_say_so(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=390, has_touch=True):
        assert page.evaluate(CUT) == []
        table = page.locator("#glance-table .edged")
        assert table.evaluate("(edged) => edged.firstChild.scrollWidth > edged.clientWidth"), "too narrow to test"
        opacity = "(edged, side) => getComputedStyle(edged, side).opacity"
        assert [table.evaluate(opacity, side) for side in ("::before", "::after")] == ["0", "1"]
        table.evaluate("(edged) => { edged.firstChild.scrollLeft = 9999; }")
        page.wait_for_timeout(100)
        assert [table.evaluate(opacity, side) for side in ("::before", "::after")] == ["1", "0"]


def test_a_phone_in_the_dark(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=390, color_scheme="dark", has_touch=True):
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
        paper = page.locator("#curves .chart .main-svg").first.evaluate(
            "node => getComputedStyle(node).backgroundColor"
        )
        assert paper == "rgb(21, 24, 28)"
        button = page.locator("#heat button").first.bounding_box()
        assert button["width"] >= 24
        assert button["height"] >= 24


# -- two runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 390])
def test_two_runs_are_next_to_each_other(
    browser: Any, sweep: Path, tmp_path_factory: pytest.TempPathFactory, width: int
) -> None:
    one, two = (read_results(job(sweep, number))[0] for number in (0, 1))
    file = written(build_two(one, two, ("weak", "strong")), tmp_path_factory)
    for page in opened(browser, file, width, ready="body[data-ready=yes]"):
        maps = page.locator("#maps table")
        assert maps.locator("caption").all_inner_texts() == ["A: weak", "B: strong", "B less A"]
        assert [maps.nth(place).locator("td").count() for place in range(3)] == [3, 3, 3]
        page.locator("#select-pair").select_option("jazz → rock")
        page.locator("input[value=precision]").check()
        line = page.evaluate("LINES.find((line) => line.layer === '6' && line.original === 'jazz')")
        for place, side in enumerate("abd"):
            told = page.evaluate(
                "([side, value]) => textOf(side, 'precision', value)", [side, line[f"{side}_precision"]]
            )
            assert told in maps.nth(place).locator("td").all_inner_texts()[0]
        assert "6 cells are in both" in page.locator("#summary").inner_text()
        assert page.evaluate(CUT) == []
        name, rows = downloaded(page, page.locator("button.csv"))
        assert name == "weak-and-strong_every-cell.csv"
        assert len(rows) == 6
