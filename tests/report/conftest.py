"""Made-up results of every task that all tests of the report read, and their pages."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.report.found import Found, read_results
from mech_music.report.page import Page, build, write
from mech_music.results.columns import Schema
from mech_music.results.tables import conform, summarise
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from mech_music.tasks.tuned_lens.columns import TUNED_LENS
from tests.composing import CommandLine
from tests.report.browser import CHROMIUM, missing, opened

SWEPT = (
    "-m", "component=mlp,ca", "technique=steer", "strength=1,2", 'layer="6,7,together"', "pair=guitar-piano+jazz-rock",
    "prompts=3", "statistics.resamples=50", "audio.strongest=0", "audio.weakest=0",
)  # fmt: skip


LENS = (
    "-m", "task=decoder_lens", "reading=free", "concept=guitar+jazz", 'layer="0,6,last"', "prompts=3",
    "statistics.resamples=50", "audio.strongest=0", "audio.weakest=0",
)  # fmt: skip
MIXED = (
    "-m", "task=decoder_lens,interchange", 'layer="0,last"', "prompts=2", "statistics.resamples=20",
    "audio.strongest=0", "audio.weakest=0",
)  # fmt: skip


def swept(folder: Path, words: Sequence[str]) -> CommandLine:
    """The command line that made a sweep, with its made-up engine; nothing stays patched."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("cli.job", "results.results"):
            patch.setattr(f"mech_music.{module}.draw", lambda summary, folder, n_workers=1: [])
        command = CommandLine(folder, patch)
        assert command(*words) == 0
    return command


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A sweep of interchanges."""
    return swept(tmp_path_factory.mktemp("report"), SWEPT)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of two tasks."""
    return swept(tmp_path_factory.mktemp("mixed"), MIXED).folder / "sweep"


@pytest.fixture(autouse=True)
def listening(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips come from the engine that made the sweep."""
    monkeypatch.setattr("mech_music.report.clips.open_engine", lambda run: command.engine)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test's own config folder brings along is imported anew by the next."""
    path = [*sys.path]
    yield
    sys.path[:] = path
    sys.modules.pop("a_loud_task", None)


@pytest.fixture(scope="session")
def sweep(command: CommandLine) -> Path:
    return command.folder / "sweep"


@pytest.fixture
def copied(sweep: Path, tmp_path: Path) -> Path:
    """A copy of the sweep to spoil; times kept, as the sweep's own table is the newest."""
    return shutil.copytree(sweep, tmp_path / "sweep")


@pytest.fixture(scope="session")
def found(sweep: Path) -> Found:
    (found,) = read_results(sweep)
    return found


@pytest.fixture(scope="session")
def page(found: Found, command: CommandLine) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mech_music.report.clips.open_engine", lambda run: command.engine)
        return build(found)


@pytest.fixture(scope="session")
def lens_command(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A lens on two concepts."""
    return swept(tmp_path_factory.mktemp("lens"), LENS)


@pytest.fixture(scope="session")
def lens_found(lens_command: CommandLine) -> Found:
    (found,) = read_results(lens_command.folder / "sweep")
    return found


@pytest.fixture(scope="session")
def lens_page(lens_found: Found, lens_command: CommandLine) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mech_music.report.clips.open_engine", lambda run: lens_command.engine)
        return build(lens_found)


def written(page: Page, factory: pytest.TempPathFactory) -> Path:
    path = factory.mktemp("page") / "report.html"
    write(page, path)
    return path


@pytest.fixture(scope="session")
def file(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(page, tmp_path_factory)


@pytest.fixture(scope="session")
def lens_file(lens_page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(lens_page, tmp_path_factory)


@pytest.fixture(scope="session")
def similar(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What self_similarity leaves, made up."""
    pairs = [(a, b) for a in range(4) for b in range(a, 4)]
    lines = [
        {"role": role, "concept": concept, "layer": str(a), "other": str(b), "half": "both"}
        for role, concept, (a, b) in product(("layers", "moved"), ("guitar", "jazz"), pairs)
    ]
    return made_up(SELF_SIMILARITY, lines, tmp_path_factory.mktemp("similar"))


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What tuned_lens leaves, made up."""
    lines = [{"role": "lens", "lens": lens, "layer": str(a)} for lens, a in product(("decoder", "tuned"), range(3))]
    return made_up(TUNED_LENS, lines, tmp_path_factory.mktemp("tuned"))


def made_up(schema: Schema, lines: Sequence[dict[str, str]], folder: Path, prompts: int = 3) -> Found:
    """A table with these lines, each for some prompts, and random metrics."""
    rng = np.random.default_rng(0)
    same = {"task": schema.task, "model": "tiny", "component": "mlp", "duration": 4.0, "seed": 0, "prompts": prompts}
    same |= {"prompt_set": "velez2024"}
    table = conform(
        pd.DataFrame(
            [
                same | line | {"index": index, "prompt": f"prompt {index}", "failed": False} | drawn(schema, rng)
                for line, index in product(lines, range(prompts))
            ]
        )
    )
    return Found(folder, [], table, summarise(table, 20, 0.95, 0), None)


def drawn(schema: Schema, rng: np.random.Generator) -> dict[str, float]:
    return {metric: float(rng.random()) for metric in schema.metrics}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests that want one are skipped where it is not installed."""
    playwright: Any = pytest.importorskip("playwright.sync_api", reason=missing())
    if wanting := missing():
        pytest.skip(wanting)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def desktop(browser: Any, file: Path) -> Iterator[Any]:
    """The page on a desktop, charts drawn."""
    yield from opened(browser, file, width=1280)
