"""The example of docs/prompts.md is a prompt set that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from mech_music.cli.validation import validate
from mech_music.config.paths import also_in, conf_dir
from mech_music.edits.row import Row
from mech_music.tasks.registry import as_run, register, task_of
from tests.prompts.test_command import listed

register()
PAGE = (conf_dir().parent / "docs" / "prompts.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's two files, in the folders that it names."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, text in zip(re.findall(r"`my_conf/(\S+\.yaml)`", PAGE), blocks, strict=True):
        path = tmp_path / "my_conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "my_conf"


def test_the_example_composes_and_plans(folder: Path) -> None:
    (command,) = re.findall(r"^mech-music run --config-dir my_conf (.*)$", PAGE, re.MULTILINE)
    with also_in(folder), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        words = [*command.split(), f"hydra.searchpath=[file://{folder}]"]
        run: Any = as_run(compose("config", words))
        validate(run)
        assert [f"{a.name}-{b.name}" for a, b in run.pairs] == ["banjo-fiddle", "slow-fast"]
        assert task_of(run).listeners(run) == ("classifier", "pace", "likelihood")
        prompts = {row.prompt for row in task_of(run).plan(run) if isinstance(row, Row)}
    assert "A slow folk tune, played on a banjo." in prompts and len(prompts) == 6 + 6 - 2


def test_the_example_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = listed(capsys, monkeypatch, "prompt_set=folk", "--config-dir", str(folder))
    assert "old fiddle" in said and "Folk music" in said and "one of instrument and style" in said
