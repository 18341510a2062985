"""Train musicgen-tiny from nothing: `python -m mech_music.tiny.train` (or `make tiny`).

Stages that are done are skipped, an unfinished one continues, and the same seed ends in the same weights.
"""

import importlib
import logging
import os
import sys
import warnings

# One thread a process is the recipe; two that wait by spinning are five times slower beside another busy process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.paths import conf_dir
from mech_music.tiny.config import StageName, TinyConfig, register
from mech_music.tiny.workspace import Workspace

log = logging.getLogger(__name__)

_RUNNERS = {
    StageName.corpus: ("data", "run"),
    StageName.codec: ("codec", "run"),
    StageName.codes: ("codec", "run_codes"),
    StageName.mels: ("classifier", "run_mels"),
    StageName.classifier: ("classifier", "run"),
    StageName.language_model: ("language_model", "run"),
    StageName.bundle: ("bundle", "run"),
    StageName.planted: ("planted", "run"),
}


def _check(config: TinyConfig) -> None:
    corpus = config.corpus
    numbers = {"threads": config.threads, "corpus.train": corpus.train, "corpus.held_out": corpus.held_out}
    loops = {section: getattr(config, section).loop for section in ("codec", "classifier", "language_model")}
    loops |= {f"planted.circuits.{name}": circuit.loop for name, circuit in config.planted.circuits.items()}
    for section, loop in loops.items():
        numbers |= {f"{section}.loop.steps": loop.steps, f"{section}.loop.batch": loop.batch}
    for name, value in numbers.items():
        if value < 1:
            raise UserError(f"{name}={value}: must be at least 1")


def run(config: TinyConfig) -> None:
    """Run the wanted stages in order. Raises UserError for a folder of another config or a corrupt file."""
    _check(config)
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    workspace = Workspace(config)
    for stage in StageName:
        if stage not in config.stages:
            continue
        if stage not in (StageName.bundle, StageName.planted) and workspace.is_done(stage):
            log.info("stage %s is done", stage)
            continue
        log.info("stage %s", stage)
        module, function = _RUNNERS[stage]
        with quiet_imports():
            runner = importlib.import_module(f"mech_music.tiny.{module}")
        getattr(runner, function)(workspace)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "tiny"), config_name="train")
def _app(config: DictConfig) -> None:
    warnings.filterwarnings("ignore", category=FutureWarning)
    typed = OmegaConf.to_object(config)
    assert isinstance(typed, TinyConfig)
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
