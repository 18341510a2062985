"""Train a symbolic model from nothing: `python -m mech_music.models.symbolic.train`.

Killed, it continues where it was; the same config ends in the same weights.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

# One thread is the recipe; see mech_music/tiny/train.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import torch
from omegaconf import DictConfig

from mech_music.config.paths import conf_dir
from mech_music.models.symbolic.corpora.registry import check
from mech_music.models.symbolic.files import save_decoder
from mech_music.models.symbolic.settings import SymbolicConfig, register
from mech_music.models.symbolic.training import SymbolicFolder, card_of, train
from mech_music.tiny import stages

log = logging.getLogger(__name__)


def run(config: SymbolicConfig) -> None:
    """Train and write the weights. UserError for a config that makes no sense or a folder of another one."""
    config.shape.check()
    check(config.corpus)
    stages.check_numbers({"threads": config.threads, "loop.steps": config.loop.steps, "loop.batch": config.loop.batch})
    stages.make_deterministic(config.threads)
    # A fifth of the time; nothing reads such memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    bundle = Path(config.bundle or f"{config.folder}/bundle")
    save_decoder(train(SymbolicFolder(config)), bundle, card_of(config))
    log.info("weights in %s", bundle)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "symbolic"), config_name="train")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, SymbolicConfig)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
