"""What every training command does: numbers that make sense, equal sums everywhere, stages in order, no traceback."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports

if TYPE_CHECKING:
    from mech_music.tiny.workspace import StageFolder

log = logging.getLogger(__name__)
C = TypeVar("C")


def check_numbers(numbers: Mapping[str, int]) -> None:
    """UserError for a number below 1. ``numbers``: by the words of the command line."""
    for name, value in numbers.items():
        if value < 1:
            raise UserError(f"{name}={value}: must be at least 1")


def make_deterministic(threads: int) -> None:
    """The same config ends in the same weights: sums of floats depend on the number of threads."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def run_stages(
    folder: StageFolder, runners: Mapping[str, str], wanted: Collection[str], always: Collection[str] = ()
) -> None:
    """Run the wanted stages in order; those that are done are skipped, an unfinished one continues.

    ``runners``: for each stage, in order, the function of the folder that runs it, ``<module>.<function>``.
    ``always``: stages that only write elsewhere what others made, and so are run again.
    UserError for a folder of another config or a corrupt file.
    """
    for stage, runner in runners.items():
        if stage not in wanted:
            continue
        if stage not in always and folder.is_done(stage):
            log.info("stage %s is done", stage)
            continue
        log.info("stage %s", stage)
        module, _, function = runner.rpartition(".")
        with quiet_imports():
            found = importlib.import_module(module)
        getattr(found, function)(folder)


def launch(run: Callable[[C], None], config: DictConfig, schema: type[C]) -> None:
    """Run a training with the config of a command line. A mistake is one line and exit code 1."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    typed = OmegaConf.to_object(config)
    assert isinstance(typed, schema)
    try:
        run(typed)
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)
