"""One made-up sweep that all tests of the report read, and its page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mech_music.report.found import Found, read_results
from mech_music.report.page import Page, build, write
from tests.composing import CommandLine

SWEPT = (
    "-m", "component=mlp,ca", "technique=steer", "strength=1,2", 'layer="6,7,together"', "pair=guitar-piano+jazz-rock",
    "prompts=3", "statistics.resamples=50", "audio.strongest=0", "audio.weakest=0",
)  # fmt: skip


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line that made the sweep, with its made-up engine; nothing stays patched."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("job", "results"):
            patch.setattr(f"mech_music.{module}.draw", lambda summary, folder, n_workers=1: [])
        command = CommandLine(tmp_path_factory.mktemp("report"), patch)
        assert command(*SWEPT) == 0
    return command


@pytest.fixture(autouse=True)
def listening(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips come from the engine that made the sweep."""
    monkeypatch.setattr("mech_music.report.clips.open_engine", lambda run: command.engine)


@pytest.fixture(scope="session")
def sweep(command: CommandLine) -> Path:
    return command.folder / "sweep"


@pytest.fixture
def copied(sweep: Path, tmp_path: Path) -> Path:
    """A copy of the sweep to spoil; times kept, as the sweep's own table is the newest."""
    return shutil.copytree(sweep, tmp_path / "sweep")


@pytest.fixture(scope="session")
def found(sweep: Path) -> Found:
    return read_results(sweep)


@pytest.fixture(scope="session")
def page(found: Found, command: CommandLine) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mech_music.report.clips.open_engine", lambda run: command.engine)
        return build(found)


@pytest.fixture(scope="session")
def file(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(page, path)
    return path
