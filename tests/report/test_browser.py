"""The page in a real browser, from disk and without a network. Skipped where there is no Chromium or no Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)
playwright: Any = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed (pip install playwright)"
)
CHARTS = "body[data-charts]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def desktop(browser: Any, file: Path) -> Iterator[Any]:
    """The page on a desktop, charts drawn; whatever the console complains of is in ``complaints``."""
    yield from opened(browser, file, width=1280)


def opened(browser: Any, file: Path, width: int, **how: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": width, "height": 850}, offline=True, **how)
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector(CHARTS, timeout=60_000)
    page.complaints = complaints
    yield page
    assert complaints == []
    context.close()


def test_charts_are_drawn(desktop: Any) -> None:
    for section, least in (("curves", 2), ("tradeoff", 1), ("dose", 2)):
        charts = desktop.locator(f"#{section} .chart")
        assert charts.count() == least
        assert desktop.locator(f"#{section} .chart .scatterlayer .trace").count() >= 4 * least
        for place in range(least):
            said = charts.nth(place).get_attribute("aria-label")
            assert "intervals" in said
            assert "controls" in said


def test_a_cell_shows_its_numbers_and_plays_its_clips(desktop: Any) -> None:
    cell = desktop.locator("#heat button").nth(1)
    said = cell.get_attribute("aria-label")
    cell.click()
    assert cell.get_attribute("aria-pressed") == "true"
    assert cell.locator("span").inner_text() in desktop.locator("#cell-numbers").inner_text()
    assert said.split(":")[0] in desktop.locator("#cell-h").inner_text()
    rows = desktop.locator("#cell-numbers table").first.locator("tbody th").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == ["the edit", "self", "random", "noise"]
    players = desktop.locator("#cell-clips audio")
    assert players.count() == 4
    desktop.wait_for_function("[...document.querySelectorAll('audio')].every((player) => player.duration > 0)")
    pictures = "[...document.querySelectorAll('.mel img')].every((image) => image.naturalWidth > 0 && image.alt)"
    assert desktop.evaluate(pictures)
    assert desktop.locator("#cell-clips .labels").count() == 2


def test_the_keyboard_reaches_every_cell(desktop: Any) -> None:
    desktop.locator("input[name=measure]:checked").focus()
    desktop.keyboard.press("Tab")  # one stop for the whole map, however many cells it has
    focused = "document.activeElement.closest('#heat') ? Number(document.activeElement.dataset.cell) : -1"
    reached = set()
    for row in ("ArrowUp", "ArrowDown"):
        desktop.keyboard.press(row)
        desktop.keyboard.press("Home")
        for _ in range(3):
            reached.add(desktop.evaluate(focused))
            desktop.keyboard.press("ArrowRight")
    cells = {int(one.get_attribute("data-cell")) for one in desktop.locator("#heat button").all()}
    assert len(cells) == 6
    assert reached == cells
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert "effectiveness" in desktop.locator("#announce").inner_text()


def test_selectors_change_every_chart(desktop: Any) -> None:
    assert desktop.locator("select").count() == 2
    other = [
        value for value in ("guitar → piano", "jazz → rock") if value != desktop.locator("#select-pair").input_value()
    ]
    desktop.locator("#select-pair").select_option(other[0])
    for section in ("cells", "curves", "tradeoff", "dose"):
        assert other[0] in desktop.locator(f"#{section} .subject").inner_text()
    assert other[0] in desktop.locator("#cell-h").inner_text()


def test_a_table_is_behind_each_chart(desktop: Any) -> None:
    for section, lines in (("curves", 6), ("tradeoff", 6), ("dose", 12)):
        desktop.locator(f"#{section} summary").click()
        assert desktop.locator(f"#{section} .behind tbody tr").count() == lines


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
