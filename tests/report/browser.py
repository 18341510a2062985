"""The browser that tests of the page need: which one there is, and what to install where there is none."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_CHROMIUM = "a Chromium (Debian: apt-get install chromium; macOS: brew install --cask chromium)"
_PLAYWRIGHT = "Playwright (.deps/bin/uv pip install --python .venv/bin/python playwright)"


def missing() -> str:
    """One line that says what to install; empty where the tests can run."""
    wanting = [words for words, there in ((_PLAYWRIGHT, find_spec("playwright")), (_CHROMIUM, CHROMIUM)) if not there]
    return f"tests in a browser need {' and '.join(wanting)}" if wanting else ""


if __name__ == "__main__":
    sys.exit(missing() or 0)
