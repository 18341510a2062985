"""The browser of one job: made when it ends, and again by the report from what the store has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError
from mech_music.report.features.media import Media
from mech_music.report.features.table import read_labels, read_table
from mech_music.report.features.write import FOLDER, Browser, write_browser
from mech_music.report.page import FEATURES
from mech_music.saes.progress import progress
from mech_music.tasks.protocol import Browsing

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine

_LOST = "the store has not all that it needs: run the command again to have it"


def browser_of(task: object, run: Any, engine: Engine, folder: Path, labels: Path | None = None) -> Browser | None:
    """Write ``folder/features``; None for a task or a config without a browser.

    ``labels``: the folder of another ``labels.csv`` than the job's own. UserError for tables that are damaged.
    """
    if not isinstance(task, Browsing) or not (wanted := task.browsed(run)):
        return None
    told = read_table(folder), read_labels(labels or folder)
    if labels is not None and told[1].empty:
        raise UserError(f"no labels in '{labels}': expected a folder with labels.csv")
    catalogue = task.catalogue(run, engine.answers(wanted))
    n_features, place = sum(of.n_features for of in catalogue.sets), folder / FOLDER
    with progress("features", n_features) as show:

        def sounded(n: int) -> None:
            show(0, f"{len(media.written) // 2} clips")

        media = Media(place, engine.audio, engine.key, sounded)
        return write_browser(catalogue, *told, place, media, show)


def browser_again(task: object, run: Any, engine: Engine, folder: Path, labels: Path | None = None) -> str:
    """The same if the store has everything; a sentence about what was done, empty for a task without a browser."""
    if not isinstance(task, Browsing) or not (wanted := task.browsed(run)):
        return ""
    if any(source not in engine.passes.recording for source in wanted):
        there = (folder / FEATURES).is_file()
        return f"features of {folder.name} {'are left as they are' if there else 'are not shown'}: {_LOST}"
    found = browser_of(task, run, engine, folder, labels)
    return "" if found is None else said(found)


def said(browser: Browser) -> str:
    """What was written, for the terminal."""
    labels = f", {browser.labels} labelled" if browser.labels else ", no labels"
    size = f"{browser.size / 1e6:.1f} MB"
    return f"{browser.index}: {browser.features} features{labels}, {browser.clips} clips, {size}. Open it in a browser."
