"""A sweep is prefetch: plan every job, run the union of their clips once, then run every job.

Loaded by Hydra at the start of every command, so nothing heavy is imported before a sweep is launched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from mech_music.base.errors import UserError
from mech_music.base.machine import n_cores
from mech_music.base.workers import Advance, spread
from mech_music.cli.explain import explain
from mech_music.cli.foreign import of_another_task
from mech_music.cli.launcher.composer import Composer
from mech_music.cli.launcher.union import WithUnion, alike
from mech_music.cli.validation import validate
from mech_music.config.paths import options
from mech_music.config.schema import RunConfig, StatisticsConfig, folder_name
from mech_music.results.sweep import Done, Failed, record_failure, remove_results
from mech_music.tasks.registry import as_run


class PackedLauncher(Launcher):
    """Runs the jobs one after another in this process, their clips made beforehand in common passes."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """One JobReturn a job, in order. Its value is Done or Failed: a failed job never stops the others."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        composer = Composer(self.hydra_context.config_loader, self.config)
        jobs = [self._compose(composer, n, overrides) for n, overrides in enumerate(job_overrides, initial_job_idx)]
        runs = [_valid(job) for job in jobs]
        results: dict[int, Done | Failed] = {}
        for places in _by_engine(runs):
            wanted = [run for place in places if (run := runs[place])]
            some = [jobs[place] for place in places]
            # What is left of a job whose clips are there is plain Python. W&B wants its runs in one process.
            easy = self._prefetch(wanted) and all(run.logger.name == "none" for run in wanted)
            n_workers = (wanted[0].engine.workers or n_cores()) if easy else 1
            for at, result in spread(self._run, some, n_workers, lambda _: None):
                results[places[at]] = result
        return [_returned(job_overrides[place], results[place]) for place in range(len(jobs))]

    def _compose(self, composer: Composer, number: int, overrides: Sequence[str]) -> DictConfig | Failed:
        try:
            config = composer(overrides)
        except Exception as error:
            folder = self._folder(number, overrides)
            remove_results(folder)
            return record_failure(folder, explain(of_another_task(error, overrides)))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _folder(self, number: int, overrides: Sequence[str]) -> Path:
        """The folder of a job that has no config to name it; named as ``hydra.sweep.subdir`` names the others."""
        left_out = self.config.hydra.job.config.override_dirname.exclude_keys
        named = sorted(o for o in filter_overrides(overrides) if o.partition("=")[0] not in left_out)
        return Path(str(self.config.hydra.sweep.dir)) / f"{number}_{folder_name(','.join(named))}"

    def _prefetch(self, runs: Sequence[RunConfig]) -> bool:
        """Whether every clip of the jobs is there."""
        if not runs:
            return False
        from mech_music.cli.job import prefetch

        return prefetch(runs)

    def _run(self, job: DictConfig | Failed, _: Advance) -> Done | Failed:
        if isinstance(job, Failed):
            return job
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        ).return_value


def _returned(overrides: Sequence[str], result: Done | Failed) -> JobReturn:
    returned = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
    returned.return_value = result
    return returned


def _valid(job: DictConfig | Failed) -> RunConfig | None:
    """The job's config, unless something is wrong with it: then the job itself will say so."""
    try:
        run = None if isinstance(job, Failed) else as_run(job)
        if run is not None:
            validate(run)
    except Exception:
        return None
    return run


def _by_engine(runs: Sequence[RunConfig | None]) -> list[list[int]]:
    """The places of jobs that can share an engine, together: only one model is in memory at a time."""
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(alike(run) if run else "", []).append(place)
    return list(groups.values())


class InterventionSweeper(BasicSweeper):
    """Hydra's own sweeper; afterwards it shows one table of all jobs and fails if any of them did."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._function = WithUnion(task_function, hydra_context, config)
        super().setup(hydra_context=hydra_context, task_function=self._function, config=config)
        if isinstance(self.launcher, PackedLauncher):  # which makes the union itself
            self.launcher.task_function = task_function

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """The packed launcher composes each job once, and a job that cannot be composed fails alone."""
        if not isinstance(self.launcher, PackedLauncher):
            super().validate_batch_is_legal(batch)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs. UserError, after everything that can be shown is shown, if any of them failed."""
        assert self.config is not None
        folder = Path(str(self.config.hydra.sweep.dir))
        for place in (folder, *(folder / task for task in options("task"))):
            remove_results(place)
        self._function.arguments = [*self._parse_config(), *arguments]
        batches = super().sweep(arguments)
        from mech_music.results.results import finish_sweep

        results = [job.return_value for batch in batches for job in batch]
        statistics = cast(StatisticsConfig, OmegaConf.to_object(self.config.statistics))
        finish_sweep(folder, results, statistics)
        failed = sum(isinstance(result, Failed) for result in results)
        if failed:
            raise UserError(f"{failed} of {len(results)} jobs failed, for the reasons above")
        return batches


# Plain dictionaries: Hydra executes this file before it is in sys.modules, where dataclasses look their types up.
_STORE = ConfigStore.instance()
_STORE.store("packed", {"_target_": f"{__name__}.PackedLauncher"}, group="hydra/launcher")
_STORE.store(
    "interventions",
    {"_target_": f"{__name__}.InterventionSweeper", "max_batch_size": None, "params": {}},
    group="hydra/sweeper",
)
