"""A sweep is prefetch: plan every job, run the union of their clips once, then run every job.

Loaded by Hydra at the start of every command, so nothing heavy is imported before a sweep is launched.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from mech_music.config import folder_name
from mech_music.explain import explain
from mech_music.sweep import Done, Failed, finish, record_failure

log = logging.getLogger(__name__)


class PackedLauncher(Launcher):
    """Runs the jobs one after another in this process, their clips made beforehand in common passes."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """One JobReturn a job, in order. Its value is Done or Failed: a failed job never stops the others."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        numbered = list(enumerate(job_overrides, initial_job_idx))
        composed = {number: self._compose(number, overrides) for number, overrides in numbered}
        self._prefetch([config for config in composed.values() if isinstance(config, DictConfig)])
        return [self._run(overrides, composed[number]) for number, overrides in numbered]

    def _compose(self, number: int, overrides: Sequence[str]) -> DictConfig | Failed:
        try:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        except Exception as error:
            name = f"{number}_{folder_name(','.join(filter_overrides(overrides)))}"
            return record_failure(Path(str(self.config.hydra.sweep.dir)) / name, explain(error))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _prefetch(self, configs: Sequence[DictConfig]) -> None:
        from mech_music.job import prefetch

        prefetch([_without_hydra(config) for config in configs])

    def _run(self, overrides: Sequence[str], config: DictConfig | Failed) -> JobReturn:
        if isinstance(config, Failed):
            failed = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            failed.return_value = config
            return failed
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _without_hydra(config: DictConfig) -> DictConfig:
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return job


class InterventionSweeper(BasicSweeper):
    """Hydra's own sweeper; afterwards it shows one table of all jobs and fails if any of them did."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """The packed launcher composes each job once, and a job that cannot be composed fails alone."""
        if not isinstance(self.launcher, PackedLauncher):
            super().validate_batch_is_legal(batch)

    def sweep(self, arguments: list[str]) -> Any:
        batches = super().sweep(arguments)
        results: list[Done | Failed] = [job.return_value for batch in batches for job in batch]
        assert self.config is not None
        finish(Path(str(self.config.hydra.sweep.dir)), results)
        return batches


# Plain dictionaries: Hydra executes this file before it is in sys.modules, where dataclasses look their types up.
_STORE = ConfigStore.instance()
_STORE.store("packed", {"_target_": f"{__name__}.PackedLauncher"}, group="hydra/launcher")
_STORE.store(
    "interventions",
    {"_target_": f"{__name__}.InterventionSweeper", "max_batch_size": None, "params": {}},
    group="hydra/sweeper",
)
