"""Train musicgen-tiny-long from nothing: `python -m mech_music.tiny.long.train` (or `make tiny-long`).

Stages that are done are skipped, an unfinished one continues, and the same seed ends in the same weights.
"""

import importlib
import logging
import os
import sys
import warnings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.paths import conf_dir
from mech_music.tiny.long.config import LongConfig, StageName, register

log = logging.getLogger(__name__)

_RUNNERS = {
    StageName.corpus: ("data", "run_corpus"),
    StageName.codec: ("data", "run_codec"),
    StageName.codes: ("data", "run_codes"),
    StageName.loops: ("loops", "run"),
    StageName.language_model: ("language_model", "run"),
    StageName.refined: ("language_model", "run_refined"),
    StageName.told: ("language_model", "run_told"),
    StageName.bundle: ("bundle", "run"),
    StageName.short: ("short", "run"),
}


def run(config: LongConfig) -> None:
    """Run the wanted stages in order. Raises UserError for a folder of another config or a corrupt file."""
    _check(config)
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    from mech_music.tiny.long.data import Workspace

    workspace = Workspace(config)
    for stage in StageName:
        if stage not in config.stages:
            continue
        if stage is not StageName.bundle and workspace.is_done(stage):
            log.info("stage %s is done", stage)
            continue
        log.info("stage %s", stage)
        module, function = _RUNNERS[stage]
        with quiet_imports():
            runner = importlib.import_module(f"mech_music.tiny.long.{module}")
        getattr(runner, function)(workspace)


def _check(config: LongConfig) -> None:
    numbers = {"threads": config.threads, "pieces.train": config.pieces.train, "pieces.audio": config.pieces.audio}
    for section in ("codec", "language_model"):
        loop = getattr(config, section).loop
        numbers |= {f"{section}.loop.steps": loop.steps, f"{section}.loop.batch": loop.batch}
    for name, value in numbers.items():
        if value < 1:
            raise UserError(f"{name}={value}: must be at least 1")


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "tiny"), config_name="long")
def _app(config: DictConfig) -> None:
    warnings.filterwarnings("ignore", category=FutureWarning)
    typed = OmegaConf.to_object(config)
    assert isinstance(typed, LongConfig)
    try:
        run(typed)
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
