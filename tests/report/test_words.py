"""The methods of a page: the config in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mech_music.report.words import _model
from tests.composing import compose_run


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (["model=tiny"], "tiny (the bundled MusicGen, trained on synthesised music)"),
        (["model=tiny-long"], "tiny-long (bundled)"),
        (["model=planted-apart"], "planted-apart (bundled)"),
        (["model=small"], "small (facebook/musicgen-small)"),
    ],
)
def test_where_a_model_comes_from_is_said_without_a_path(words: list[str], source: str) -> None:
    assert _model(compose_run(*words), True).startswith(f"{source}: ")


def test_a_folder_is_named_and_not_placed(checkpoint: Path) -> None:
    said = _model(compose_run("model=small", f"model.path={checkpoint}"), False)
    assert said.startswith(f"small ({checkpoint.name}): ") and str(checkpoint.parent) not in said
