"""The feature browser in a real browser, from disk and without a network; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report.browser import opened
from tests.report.test_browser_screens import CUT
from tests.saes.made_features import HOOK, LABELS, feature_set, made_catalogue, written

READY, OPEN = "body[data-all=yes]", "body[data-feature]"
INNER = "<b id=inserted onclick=\"document.body.dataset.ran='yes'\">b</b>"
OTHER = "blocks.2.hook_resid_post"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("features")
    written(place, made_catalogue(feature_set(), feature_set(9, hook=OTHER, layer=2)))
    return place / "index.html"


@pytest.fixture(params=[1280, 390])
def page(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from opened(browser, folder, request.param, ready=READY)


def sites(page: Any) -> list[str]:
    """Of the rows that are drawn, from top to bottom."""
    return page.evaluate(
        "[...document.querySelectorAll('#rows .row')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map((row) => row.querySelector('.site').textContent)"
    )


def test_features_are_found_by_label_number_word_and_layer(page: Any) -> None:
    assert page.locator("#count").inner_text().startswith("77 of 79 features")
    for text, found in {"STRINGS": ["layer 4 · 5"], "66": ["layer 4 · 66"], "nothing": []}.items():
        page.locator("#asked-text").fill(text)
        assert sites(page) == found
    page.locator("#asked-text").fill("piano layer")
    page.locator("#asked-layer").select_option(OTHER)
    assert sites(page) == ["layer 2 · 1", "layer 2 · 4", "layer 2 · 7"]
    page.locator("#asked-text").fill("")
    page.locator("#asked-show").select_option("dead")
    assert sites(page) == ["layer 2 · 3"]
    page.locator("#asked-show").select_option("viable_fires_in_5_percent")
    page.locator("#asked-sort").select_option("number")
    assert sites(page) == [f"layer 2 · {number}" for number in range(0, 9, 2)]
    page.locator("#asked-word").select_option("jazz")
    assert sites(page) == ["layer 2 · 2", "layer 2 · 8"]


def test_a_feature_has_an_address_and_back_leads_to_the_list(page: Any) -> None:
    page.locator("#asked-layer").select_option(HOOK)
    page.evaluate("scrollTo(0, 600)")
    page.wait_for_timeout(100)
    place = page.evaluate("scrollY")
    middle = "[...document.querySelectorAll('#rows .row')].findIndex((row) => row.getBoundingClientRect().top > 400)"
    row = page.locator("#rows .row").nth(page.evaluate(middle))
    words = row.locator(".site").inner_text()
    row.click()
    page.wait_for_selector(OPEN)
    number = words.split()[-1]
    assert page.evaluate("location.hash") == f"#feature={HOOK};{number}"
    assert f"Feature {number}" in page.locator("#feature-h").inner_text()
    page.locator("a[rel=next]").click()
    page.wait_for_function(f"document.body.dataset.feature !== '0/{number}'")
    page.go_back()
    page.wait_for_function(f"document.body.dataset.feature === '0/{number}'")
    page.go_back()
    page.wait_for_function("!document.getElementById('list').hidden")
    page.wait_for_timeout(100)
    assert abs(page.evaluate("scrollY") - place) < 5 and words in sites(page)


def test_an_address_of_no_feature_is_said(browser: Any, folder: Path) -> None:
    for address in ("#feature=blocks.9.x;1", f"#feature={HOOK};70", f"#feature={HOOK};x"):
        for page in opened(browser, folder, 1280, address=address, ready=READY):
            assert page.locator("#trouble").inner_text().startswith("There is no feature ")


def test_labels_are_words_and_never_run(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};5", ready=OPEN):
        assert "plucked <b>strings</b>" in page.locator("#feature-h").inner_text()
        said = page.locator("#labels table").inner_text()
        assert said.count("onerror") == 2 and "0.80 [0.70, 0.90]" in said
        page.wait_for_timeout(200)
        assert page.evaluate("document.body.dataset.ran") is None
        page.evaluate(
            "(html) => { const b = document.createElement('p'); b.innerHTML = html; document.body.append(b); }", INNER
        )
        page.locator("#inserted").click()
        assert page.evaluate("document.body.dataset.ran") is None, (
            "the browser itself is told to run no script in a page"
        )
        page.complaints[:] = [words for words in page.complaints if "Content Security Policy" not in words]


def test_the_activation_follows_the_sound(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};5", ready=OPEN):
        page.wait_for_function("[...document.querySelectorAll('.card audio')].every((player) => player.duration > 0)")
        pictures = "[...document.querySelectorAll('.mel.current img')].every((image) => image.naturalWidth > 0)"
        assert page.evaluate(pictures) and page.locator(".card .trace").count() == 4
        card = page.locator(".card").first
        points = card.locator(".trace .over").get_attribute("points").split()
        assert [float(y) for y in points[1::2]].index(8.0) // 2 == 5, "its peak, at step 5, is the highest point"
        card.evaluate("(card) => { card.querySelector('audio').currentTime = 5.5 / 25; }")
        page.wait_for_function("document.querySelector('.card .now').textContent !== ''")
        assert card.locator(".now").inner_text() == "0.22 s: 4.00"
        at = card.evaluate("(card) => parseFloat(card.querySelector('.pair').style.getPropertyValue('--at'))")
        assert at == pytest.approx(0.22 / 0.5, abs=0.05)
        box = card.locator(".picture").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
        assert card.evaluate("(card) => card.querySelector('audio').currentTime") == pytest.approx(0.25, abs=0.02)


def test_steered_versions_change_places_at_the_same_moment(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};5", ready=OPEN):
        pair = page.locator("#steering .pair")
        page.wait_for_function(
            "[...document.querySelectorAll('#steering audio')].every((player) => player.duration > 0)"
        )
        assert [words.strip() for words in pair.locator("label").all_inner_texts()] == ["original", "α = 1", "α = 2"]
        pair.evaluate("(pair) => { pair.querySelector('audio').currentTime = 0.3; }")
        for key, version in (("x", "α = 1"), ("x", "α = 2"), ("x", "original")):
            page.keyboard.press(key)
            assert pair.get_attribute("data-version") == version
            shown = pair.locator("audio:visible")
            assert shown.count() == 1 and shown.evaluate("(audio) => audio.currentTime") == pytest.approx(0.3, abs=0.02)
            assert pair.locator(".mel:visible").count() == 1
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};1", ready=OPEN):
        assert page.locator("#steering").count() == 0


def test_a_dead_feature_and_one_without_sound(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};3", ready=OPEN):
        assert "Dead: it never fires" in page.locator(".facts").inner_text()
        assert "No label" in page.locator("#feature").inner_text()
    for page in opened(browser, folder, 1280, address=f"#feature={HOOK};40", ready=OPEN):
        assert page.locator(".card audio").count() == 0 and page.locator(".card .bare .trace").count() == 4


def test_nothing_is_cut_and_the_dark_is_dark(browser: Any, folder: Path) -> None:
    how: dict[str, Any] = {"color_scheme": "dark", "has_touch": True}
    for page in opened(browser, folder, 390, address=f"#feature={HOOK};5", ready=OPEN, **how):
        assert page.evaluate(CUT) == [] and page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    for page in opened(browser, folder, 390, ready=READY, **how):
        assert page.evaluate(CUT) == [] and page.locator("#rows .row").first.bounding_box()["height"] >= 44


def test_a_lost_data_file_is_said(browser: Any, tmp_path: Path) -> None:
    written(tmp_path, made_catalogue(feature_set(5)), LABELS, sound=False)
    (tmp_path / "data/0/0.js").unlink()
    for page in opened(browser, tmp_path / "index.html", 1280, ready=READY):
        page.locator("#rows .row").first.click()
        page.wait_for_selector("#trouble:visible")
        assert page.locator("#trouble").inner_text() == "data/0/0.js is not in this folder"
        page.complaints[:] = [words for words in page.complaints if "ERR_FILE_NOT_FOUND" not in words]


@pytest.mark.slow
def test_thirty_thousand_features_are_on_the_screen_in_two_seconds(browser: Any, tmp_path: Path) -> None:
    n, of = 30_000, feature_set(30_000, 10_000, steps=103)
    some = np.arange(0, n, 2)
    labels = pd.DataFrame({"layer": 4, "hook": HOOK, "feature": some, "labeller": "made", "score": 0.5})
    labels["label"] = [f"a sound like number {number}" for number in some]
    found = written(tmp_path, made_catalogue(of, with_sound=5), labels)
    for page in opened(browser, found.index, 1280, ready="body[data-ready=yes]"):
        drawn = "performance.getEntriesByName('drawn')[0].startTime"
        page.wait_for_function("performance.getEntriesByName('drawn').length > 0")
        assert page.evaluate(drawn) < 2_000
        assert page.locator("#rows .row").count() < 60
        took = page.evaluate(
            "() => { const start = performance.now(); ask('text', 'number 1234'); return performance.now() - start; }"
        )
        assert took < 1_000 and page.locator("#rows .row").count() > 0
        page.evaluate("scrollTo(0, 1e6)")
