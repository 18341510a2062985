"""One made (untrained) model for the tests of the machinery; the bundled one is for the science."""

from __future__ import annotations

import os

# Read when torch is loaded, which tests may do before mech_music can say so.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"} | os.environ

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mech_music.base.quiet import quiet_imports
from mech_music.cli import launcher

if TYPE_CHECKING:
    from mech_music.models.musicgen.model import HookedMusicGen

launcher.install()  # Hydra looks for plugins once in a process

PROMPTS = ("Compose a happy rock piece.", "Compose a happy jazz piece.", "Compose a sad trumpet tune.")
# Every file goes to one worker; those that take longest go first, so that none is begun when the others are done.
LONG = (
    "tests/test_faults.py", "tests/test_science.py", "tests/test_engine.py", "tests/test_figures.py",
    "tests/test_config.py", "tests/lenses/", "tests/tasks/", "tests/loading/", "tests/test_folders.py",
    "tests/test_second_generator.py", "tests/test_end_to_end.py", "tests/benchmarks/", "tests/models/",
    "tests/test_configs.py", "tests/test_composer.py", "tests/tiny/",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """The process that only hands files to workers starts them sooner without the model's libraries."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        for name in ("mech_music.models.musicgen.model", "tests.made"):
            import_module(name)
        import_module("torch").set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((at for at, of in enumerate(LONG) if item.nodeid.startswith(of)), len(LONG)))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained three-layer MusicGen in the published format."""
    from tests.made import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture(scope="session")
def made(checkpoint: Path) -> HookedMusicGen:
    """The untrained model, hooked. Its output weights are made large, so that edits change tokens."""
    with quiet_imports():
        from audiocraft.models.musicgen import MusicGen

        from mech_music.models.musicgen.model import HookedMusicGen

        musicgen = MusicGen.get_pretrained(str(checkpoint), device="cpu")
    return HookedMusicGen(musicgen, fingerprint="made")
