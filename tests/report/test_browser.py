"""The page in a real browser, from disk and without a network; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mech_music.report.page import build
from tests.report.browser import opened
from tests.report.conftest import written
from tests.report.test_outside import DECLARED, heard, page_of, swept


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
    assert [row.split("\n")[0] for row in rows] == ["the edit", "self", "other", "random", "noise"]
    heard = desktop.locator("#cell-clips h4").all_inner_texts()
    assert [words.split()[0] for words in heard] == ["Greatest", "Median", "Least"]
    assert desktop.locator("#cell-clips .pair").count() == 3
    desktop.wait_for_function("[...document.querySelectorAll('audio')].every((player) => player.duration > 0)")
    pictures = "[...document.querySelectorAll('.mel img')].every((image) => image.naturalWidth > 0 && image.alt)"
    assert desktop.evaluate(pictures)
    assert desktop.locator("#cell-clips .labels").count() == 3


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
        rows = desktop.locator(f"#{section} .behind tbody tr")
        rows.first.wait_for()  # the table is made when it is opened
        assert rows.count() == lines


@pytest.fixture(scope="module")
def lens(browser: Any, lens_file: Path) -> Iterator[Any]:
    yield from opened(browser, lens_file, width=1280)


def test_a_lens_s_curves_are_drawn(lens: Any) -> None:
    charts = lens.locator("#curves .chart")
    assert charts.count() == 2
    for place, concept in enumerate(("guitar", "jazz")):
        said = charts.nth(place).get_attribute("aria-label")
        assert said.startswith(f"{concept}: NDCG of its labels by layer")
        assert "full model" in said
        assert charts.nth(place).locator(".scatterlayer .trace").count() >= 3  # full model, control, lens
    legend = lens.locator("#curves .legend").inner_text()
    assert all(word in legend for word in ("DecoderLens", "control: prompts without it", "full model"))


def test_a_lens_s_cell_shows_its_control_and_plays_its_clips(lens: Any) -> None:
    lens.get_by_role("button", name="jazz, layer 6: NDCG").click()
    assert lens.locator("#cell-h").inner_text() == "jazz: layer 6 through the DecoderLens"
    rows = lens.locator("#cell-numbers table").first.locator("tbody th").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == ["this layer", "other", "NDCG, full model"]
    titles = lens.locator("#cell-clips .versions").first.locator("label").all_inner_texts()
    assert [title.strip() for title in titles] == ["The full model", "Layer 6 through the DecoderLens"]
    lens.wait_for_function("[...document.querySelectorAll('audio')].every((player) => player.duration > 0)")
    lens.get_by_role("button", name="jazz, layer 7: NDCG").click()
    assert "one" in lens.locator("#cell-clips .note").nth(1).inner_text()
    assert lens.locator("#cell-clips .sample").first.locator("audio").count() == 1


def test_a_lens_on_a_phone(browser: Any, lens_file: Path) -> None:
    for page in opened(browser, lens_file, width=390, color_scheme="dark", has_touch=True):
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        button = page.locator("#heat button").first.bounding_box()
        assert button["width"] >= 24
        assert button["height"] >= 24


@pytest.mark.parametrize(("task", "charts"), [("similar", 9), ("tuned", 3)])
def test_pages_without_clips(
    browser: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, task: str, charts: int
) -> None:
    file = written(build(request.getfixturevalue(task)), tmp_path_factory)
    for page in opened(browser, file, width=390):
        assert page.locator(".chart .main-svg").count() >= charts
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        if task == "similar":
            page.get_by_role("button", name="layers 0 and 2: Euclidean distance").first.click()
            assert "Layers 0 and 2" in page.locator("#cell-h").inner_text()
            page.locator("input[value=moved_cka]").check()
            assert page.locator("#heat button").count() == 4 * 5 / 2


@pytest.mark.parametrize("more", ["", DECLARED])
def test_a_task_of_one_s_own(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    """Made of its schema, and with a chart of its own script."""
    sweep = heard(swept(tmp_path, monkeypatch, more), monkeypatch)
    page_of(sweep, "--config-dir", str(tmp_path / "own"))
    for page in opened(browser, sweep / "report.html", width=1280):
        page.get_by_role("button", name="words 4, model tiny: energy").click()
        assert "words 4" in page.locator("#cell-h").inner_text()
        assert page.locator("#cell-clips audio").count() > 0
        if more:
            assert page.locator("#mine .charts").inner_text() == "3 cells"
        else:
            assert page.locator("#curves .chart .scatterlayer .trace").count() >= 6


def test_charts_below_wait_and_a_print_has_all(browser: Any, file: Path) -> None:
    """The page is there before the charts' library is; what is not seen is drawn later, or for the printer."""
    page = browser.new_page(viewport={"width": 1280, "height": 850})
    page.add_init_script("window.requestIdleCallback = () => 0;")
    page.goto(file.as_uri())
    page.wait_for_function("document.body.dataset.ready && window.Plotly && document.querySelector('.chart')")
    page.wait_for_timeout(200)
    drawn = page.locator(".chart .main-svg").count()
    assert drawn < page.locator(".chart").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('.main-svg'))")
    page.close()


# -- addresses -------------------------------------------------------------------------------------------

AT = "#cell=component:mlp;layer:7;original:jazz;desired:rock;strength:2"


def heading(page: Any) -> str:
    return page.locator("#cell-h").inner_text()


def test_an_address_opens_its_cell(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280, address=AT):
        assert heading(page) == "jazz → rock: steer at MLP, layer 7"
        assert page.locator("#select-strength").input_value() == "2"
        pressed = page.locator("#heat [aria-pressed=true]")
        assert pressed.get_attribute("aria-label").startswith("MLP, layer 7: effectiveness")
        top = page.locator("#cells").bounding_box()["y"]
        assert 0 <= top < 200, "the page is scrolled to it"
        assert page.locator("#cell-address").get_attribute("href") == AT


def test_a_chosen_cell_is_in_the_location_and_the_history(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280):
        first = heading(page)
        assert page.evaluate("location.hash") == ""
        page.get_by_role("button", name="MLP, layer 6: effectiveness").click()
        here, there = page.evaluate("location.hash"), heading(page)
        assert here.startswith("#cell=component:mlp;layer:6;")
        other = [value for value in ("1", "2") if f"strength:{value}" not in here]
        page.locator("#select-strength").select_option(other[0])
        assert page.evaluate("location.hash") == here.replace(here[-1], other[0])
        page.go_back()
        page.wait_for_function(f"location.hash === {here!r}")
        assert heading(page) == there
        assert page.locator("#select-strength").input_value() == here[-1]
        page.go_back()
        page.wait_for_function("location.hash === ''")
        page.wait_for_function(f"document.getElementById('cell-h').textContent === {first!r}")
        page.go_forward()
        page.wait_for_function(f"document.getElementById('cell-h').textContent === {there!r}")


@pytest.mark.parametrize("address", ["#cell=component:mlp;layer:99", "#cell=%E0%A4;layer", "#cell=constructor:x"])
def test_an_address_of_no_cell_is_said(browser: Any, file: Path, address: str) -> None:
    for page in opened(browser, file, width=1280, address=address):
        assert page.locator("#no-cell").inner_text().startswith("This page has no cell ")
        page.locator("#heat button").first.click()
        assert not page.locator("#no-cell").is_visible()


# -- players ---------------------------------------------------------------------------------------------

PLAYING = "[...document.querySelectorAll('audio')].map((audio, i) => (audio.paused ? -1 : i)).filter((i) => i >= 0)"


def test_one_clip_plays_at_a_time(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280):
        page.locator("#heat button").first.click()
        page.evaluate("for (const audio of document.querySelectorAll('audio')) audio.loop = true")
        for place in (0, 2, 4):
            page.evaluate(f"document.querySelectorAll('audio')[{place}].play()")
            page.wait_for_timeout(50)
            assert page.evaluate(PLAYING) == [place]
        page.evaluate("window.playing = document.querySelectorAll('#cell-clips audio')[2]")
        assert not page.evaluate("window.playing.paused")
        page.locator("#heat button").nth(1).click()
        assert page.evaluate("window.playing.paused"), "a clip that is no longer on the page is silent"


STATE = """(pair) => {
  const shown = pair.querySelector("audio:not([hidden])");
  return [shown.dataset.version, pair.querySelector(":checked").value, shown.currentTime, shown.paused];
}"""


def test_both_versions_change_places_at_the_same_moment(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280):
        pair = page.locator("#cell-clips .pair").first
        page.wait_for_function("[...document.querySelectorAll('audio')].every((player) => player.duration > 0)")
        assert pair.locator("audio:visible").count() == 1
        length = pair.evaluate("(pair) => pair.querySelector('audio').duration")
        at = length / 2
        pair.evaluate(f"(pair) => {{ pair.querySelector('audio').currentTime = {at}; }}")
        pair.locator("input[value=after]").check()
        version, checked, time, paused = pair.evaluate(STATE)
        assert (version, checked, paused) == ("after", "after", True)
        assert time == pytest.approx(at, abs=0.02)
        pair.evaluate("(pair) => { for (const one of pair.querySelectorAll('audio')) one.playbackRate = 0.1; }")
        pair.evaluate("(pair) => pair.querySelector('audio:not([hidden])').play()")
        page.keyboard.press("x")
        page.wait_for_function(f"{PLAYING}.length === 1")
        version, checked, time, paused = pair.evaluate(STATE)
        assert (version, checked, paused) == ("before", "before", False)
        assert at - 0.02 <= time < length
        assert page.locator("#result-clip .pair").get_attribute("data-version") == "before"


def test_the_keyboard_changes_versions_and_shows_where_it_is(browser: Any, file: Path) -> None:
    for page in opened(browser, file, width=1280):
        pair = page.locator("#cell-clips .pair").nth(1)
        pair.locator("input").first.focus()
        page.keyboard.press("ArrowRight")
        assert pair.evaluate(STATE)[:2] == ["after", "after"]
        label = pair.locator("label").nth(1)
        assert label.evaluate("(label) => getComputedStyle(label).outlineStyle") == "solid"
        page.keyboard.press("x")
        assert pair.evaluate(STATE)[:2] == ["before", "before"]
        page.keyboard.press("Control+x")
        assert pair.evaluate(STATE)[:2] == ["before", "before"]
