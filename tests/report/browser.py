"""The browser that tests of the page need, what to install where there is none, and a page opened in it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHARTS = "body[data-charts=yes]"
_CHROMIUM = "a Chromium (Debian: apt-get install chromium; macOS: brew install --cask chromium)"
_PLAYWRIGHT = "Playwright (.deps/bin/uv pip install --python .venv/bin/python playwright)"


def missing() -> str:
    """One line that says what to install; empty where the tests can run."""
    wanting = [words for words, there in ((_PLAYWRIGHT, find_spec("playwright")), (_CHROMIUM, CHROMIUM)) if not there]
    return f"tests in a browser need {' and '.join(wanting)}" if wanting else ""


def opened(
    browser: Any, file: Path, width: int, height: int = 850, address: str = "", ready: str = CHARTS, **how: Any
) -> Iterator[Any]:
    """The page of a file, and whatever its console complains of in ``complaints``, which has to stay empty."""
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **how)
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri() + address)
    page.wait_for_selector(ready, timeout=60_000)
    page.complaints = complaints
    yield page
    assert complaints == []
    context.close()


if __name__ == "__main__":
    sys.exit(missing() or 0)
