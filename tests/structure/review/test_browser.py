"""The review's page in a real browser, where there is one: heard, decided by keys alone, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mech_music.structure.review.decisions import Decision
from mech_music.structure.review.folder import Review
from mech_music.structure.review.page import write_export
from mech_music.structure.review.server import ReviewServer
from tests.report.browser import CHROMIUM, missing, opened
from tests.structure.review.test_review import own_cache, review, server, songs  # noqa: F401  (fixtures)

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
READY = "body[data-ready=yes]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield browser
        browser.close()


def until(page: Any, holds: str) -> None:
    """Wait for an expression of the page. (The page itself may evaluate none.)"""
    for _ in range(300):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(100)
    raise AssertionError(holds)


def test_pairs_are_decided_by_keys(browser: Any, server: ReviewServer) -> None:  # noqa: F811
    page, complaints = browser.new_page(), []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector(READY)
    queue = list(server.review.queue)
    page.keyboard.press("b")
    until(page, "!playerOf(document.querySelector('.pair'), 'first').paused")
    until(page, "!playerOf(document.querySelector('.pair'), 'second').paused")
    for key, n in (("y", 1), ("n", 2), ("a", 3)):
        page.keyboard.press(key)
        until(page, f"byId('progress').textContent.startsWith('Pair {n + 1} of 5; {n} decided by ann')")
    page.keyboard.press("u")
    until(page, "byId('progress').textContent.startsWith('Pair 3 of 5; 2 decided')")
    assert server.decided() == {queue[0]: Decision.positive, queue[1]: Decision.negative}
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('[data-decision=negative]').ariaPressed === 'true'")
    page.reload()
    page.wait_for_selector(READY)
    assert page.locator("#progress").inner_text().startswith("Pair 3 of 5; 2 decided"), "it goes on where it was"
    assert complaints == []
    page.context.close()


def test_the_file_shows_and_saves_nothing(browser: Any, review: Review, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "review.html"
    write_export(review, path)
    for page in opened(browser, path, 400, ready=READY):
        page.keyboard.press("y")
        page.keyboard.press("ArrowRight")
        until(page, "byId('progress').textContent.startsWith('Pair 2 of 5; 0 decided')")
        assert page.locator("#decide button:disabled").count() == 4
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
