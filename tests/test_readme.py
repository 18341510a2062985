"""What the README shows is run: its Python, and the configs of its commands and of those in docs/."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.config.paths import conf_dir
from tests.composing import compose_run

README = (conf_dir().parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PAGES = "".join(page.read_text() for page in sorted((conf_dir().parent / "docs").glob("*.md")))
COMMANDS = [
    shlex.split(line, comments=True)[3:]
    for kind, block in BLOCKS + re.findall(r"```(\w+)\n(.*?)```", PAGES, re.DOTALL)
    if kind in ("bash", "sh")
    for line in block.splitlines()
    if line.startswith("python -m mech_music.run") and "<" not in line  # which a reader replaces
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command_composes_for_every_value_it_sweeps(words: list[str]) -> None:
    overrides = [word for word in words if "=" in word]
    for position, word in enumerate(overrides):
        name, _, values = word.partition("=")
        for value in alternatives(values):
            first = [
                f"{key}={alternatives(swept)[0]}" for key, _, swept in (other.partition("=") for other in overrides)
            ]
            try:
                validate(compose_run(*first[:position], f"{name}={value}", *first[position + 1 :]))
            except UserError as error:  # of files that a reader has and this test has not
                assert any(own in str(error) for own in ("songs", "outputs/symbolic/mine", "clap")), words


def alternatives(values: str) -> list[str]:
    """What a sweep takes in turn; a list in brackets is one value."""
    return [values] if values.startswith(("[", "'[")) else values.split(",")


def test_python_runs_and_the_piano_becomes_a_violin(tmp_path: Path) -> None:
    """From a file, because nnsight reads the source of the block that it traces."""
    script = tmp_path / "readme.py"
    script.write_text("\n".join(block for kind, block in BLOCKS if kind == "python"))
    names = runpy.run_path(str(script))
    assert names["labels"].tolist().count(1) >= 3
    assert names["tokens"].shape == (4, 4, 25)


def test_python_of_the_page_on_hooks_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (conf_dir().parent / "docs" / "hooks.md").read_text()
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "hooks.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    names = runpy.run_path(str(script))
    assert names["changed"].shape == names["tokens"].shape == (1, 4, 25)
    assert not names["changed"].equal(names["tokens"])
    assert names["later"]["resid_post", 3].shape == (2, 1, 5, names["model"].d_model)
    assert names["cache"]["z", 3, "cross_attn"].shape[-2:] == (names["model"].n_heads, names["model"].d_model // 4)
