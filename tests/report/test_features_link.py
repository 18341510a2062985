"""The page of a run leads to the browsers of its jobs' features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mech_music.report.__main__ import parse
from mech_music.report.found import Found
from mech_music.report.page import build


def test_the_page_links_to_the_browsers_that_there_are(found: Found, tmp_path: Path) -> None:
    first = replace(found.jobs[0], folder=tmp_path / "jobs" / "0_a b")
    there = replace(found, jobs=[first, *found.jobs[1:]])
    assert "Browse the features" not in build(there, audio=False).html
    (first.folder / "features").mkdir(parents=True)
    (first.folder / "features" / "index.html").write_text("")
    assert 'href="jobs/0_a%20b/features/index.html">Browse the features</a>' in build(there, False, tmp_path).html
    assert parse(["x", "labels=y"]).labels == Path("y") and parse(["x"]).labels is None
