"""A tiny that was trained for ten steps: everything but its knowledge is as in the bundled one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mech_music.config.paths import conf_dir
from mech_music.tiny import train
from mech_music.tiny.config import TinyConfig, register


@pytest.fixture(autouse=True)
def _restore_torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def micro(folder: Path) -> TinyConfig:
    register()
    with initialize_config_dir(str(conf_dir() / "tiny"), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", ["preset=micro", f"folder={folder}"]))
    assert isinstance(config, TinyConfig)
    return config


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where every stage ran without interruption."""
    folder = tmp_path_factory.mktemp("finished")
    train.run(micro(folder))
    return folder
