"""Train the same model with each attention: `python -m mech_music.models.symbolic.compare`.

Killed, it continues where it was. Seed by seed, so that what is finished can be compared at any time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
from omegaconf import DictConfig

from mech_music.config.paths import conf_dir
from mech_music.models.symbolic import train
from mech_music.models.symbolic.settings import CompareConfig, SymbolicConfig, register
from mech_music.tiny import stages

log = logging.getLogger(__name__)


def runs(config: CompareConfig) -> Iterator[SymbolicConfig]:
    """The trainings, seed by seed, each in a folder of its own."""
    plain = SymbolicConfig(**{field.name: getattr(config, field.name) for field in fields(SymbolicConfig)})
    for seed in config.seeds:
        for attention in config.attentions:
            folder = str(Path(config.folder) / f"{attention}-{seed}")
            yield replace(plain, seed=seed, folder=folder, shape=replace(config.shape, attention=attention))


def run(config: CompareConfig) -> None:
    """Train what is not trained yet, then compare. UserError for a config that makes no sense."""
    for one in runs(config):
        log.info("%s, seed %d", one.shape.attention, one.seed)
        train.run(one)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "symbolic"), config_name="compare")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, CompareConfig)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
