"""What lies in the folder of a run or of a sweep: tables, configs, failures, and what is not there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mech_music.base.errors import UserError
from mech_music.cli.explain import explain
from mech_music.config.schema import RunConfig, StatisticsConfig
from mech_music.results.columns import Schema
from mech_music.results.results import SUMMARY, TABLE
from mech_music.results.sweep import FAILED, Failed
from mech_music.results.tables import concat_tables, read_summary, read_table, schema_of, summarise
from mech_music.tasks.registry import ForeignClass, read_run, task_names

_MOST_NAMED = 12
_NO_CONFIG = "Some jobs have no config of this version (.hydra/config.yaml): their clips are not shown."
_CONFIG, _HYDRA, _SWEEP = Path(".hydra/config.yaml"), Path(".hydra/hydra.yaml"), Path("multirun.yaml")


@dataclass(frozen=True)
class Job:
    """A job that has a table.

    ``run``: its task's settings, None if these are not there, are of another version, or name classes that no config
    folder does: whoever uses them imports nothing that the file brought along.
    """

    folder: Path
    run: Any
    table: pd.DataFrame

    @property
    def task(self) -> str:
        """The task whose table it is."""
        return schema_of(self.table).task


@dataclass(frozen=True)
class Found:
    """All that a report is made of. ``missing``: one sentence for each thing that is not there (yet)."""

    folder: Path
    jobs: list[Job]
    table: pd.DataFrame
    summary: pd.DataFrame
    command: str | None
    failures: list[Failed] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Any]:
        return [job.run for job in self.jobs if job.run is not None]

    @property
    def schema(self) -> Schema:
        """That of the table's task."""
        return schema_of(self.table)

    @property
    def models(self) -> str:
        """The models' names."""
        return ", ".join(dict.fromkeys(self.table["model"])) if "model" in self.table else "unnamed"

    @property
    def effects(self) -> pd.DataFrame:
        """The lines of the table that are no control's."""
        return cast(pd.DataFrame, self.table[self.table["role"] == self.schema.roles[0]])


def read_results(folder: Path) -> list[Found]:
    """Everything in the folder of a run or of a sweep, finished or not: one for each task that it holds.

    ``folder`` may be the part of a sweep that is one task's. UserError if there is no table at all.
    """
    sweep, task = (folder.parent, folder.name) if _is_part(folder) else (folder, "")
    if not sweep.is_dir():
        raise UserError(f"no folder '{folder}': give the output folder of a run (outputs/…) or of a sweep (multirun/…)")
    places = _job_folders(sweep)
    jobs, failures, missing = _read_jobs(places)
    missing += _not_started(sweep, places)
    if not jobs and not failures and (folder / TABLE).is_file():
        # Without its jobs' folders, a sweep's own table still says everything but the configs and the clips.
        jobs, missing = [Job(folder, None, read_table(folder / TABLE))], [*missing, _NO_CONFIG]
    tasks = [name for name in dict.fromkeys(job.task for job in jobs) if name == (task or name)]
    if not tasks:
        raise UserError(_nothing(folder, failures, missing))
    several = bool(task) or len(tasks) > 1
    parts = {name: sweep / name if several else sweep for name in tasks}
    return [_found(parts[name], sweep, [job for job in jobs if job.task == name], failures, missing) for name in tasks]


def _is_part(folder: Path) -> bool:
    """Whether this is where a sweep of several tasks leaves the results of one."""
    return folder.name in task_names() and (folder.parent / _SWEEP).is_file() and not (folder / _HYDRA).is_file()


def _found(place: Path, asked: Path, jobs: list[Job], failures: list[Failed], missing: list[str]) -> Found:
    table, summary = _joined(place, jobs, failures)
    return Found(place, jobs, table, summary, _command(asked), failures, missing)


def _job_folders(folder: Path) -> list[Path]:
    """The folder itself if it is a job's; else the jobs below it, by number."""
    if (folder / _HYDRA).is_file():
        return [folder]
    signs = (_HYDRA, TABLE, FAILED)
    below = [path for path in folder.iterdir() if any((path / name).is_file() for name in signs)]
    below = [path for path in below if not (path / _SWEEP).is_file() and not _is_part(path)]  # a sweep, or part of one
    return sorted(below, key=lambda path: (_number(path) is None, _number(path), path.name))


def _number(folder: Path) -> int | None:
    """The number of a sweep's job, with which the name of its folder begins."""
    start = folder.name.partition("_")[0]
    return int(start) if start.isdecimal() else None


def _read_jobs(places: Sequence[Path]) -> tuple[list[Job], list[Failed], list[str]]:
    """The jobs with a table, those that failed, and those that are not finished."""
    jobs, failures, missing = [], [], []
    for place in places:
        if (place / FAILED).is_file():  # and whatever lies beside it is not what was asked for
            failures.append(Failed(place, (place / FAILED).read_text(errors="replace").strip()))
        elif (place / TABLE).is_file():
            try:
                table = read_table(place / TABLE)
                run, without = _config(place, schema_of(table).task)
                jobs.append(Job(place, run, table))
                missing += [without] if without else []
            except UserError as error:
                failures.append(Failed(place, explain(error)))
        else:
            missing.append(f"Job {place.name} has no table yet: it is running, or it was stopped.")
    return jobs, failures, list(dict.fromkeys(missing))


def _config(place: Path, task: str) -> tuple[RunConfig | None, str]:
    """A job's config, or none and why."""
    if task not in task_names():
        return None, f"The task {task} is not known here: name its folder as --config-dir to have its clips."
    try:
        return read_run(place / _CONFIG, task), ""
    except ForeignClass as error:
        return None, f"{error} Nothing of it was imported, and the clips of its jobs are not shown."
    except (OSError, YAMLError, OmegaConfBaseException, UserError):
        return None, _NO_CONFIG


def _joined(folder: Path, jobs: Sequence[Job], failures: Sequence[Failed]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of all jobs and its summary: the ones that the run wrote, if no job has finished or failed since."""
    own, short = folder / TABLE, folder / SUMMARY
    tables = [job.folder / TABLE for job in jobs]
    ends = [*tables, *(path for failure in failures if (path := failure.folder / FAILED).is_file())]
    if own.is_file() and short.is_file() and all(own.stat().st_mtime >= path.stat().st_mtime for path in ends):
        return read_table(own), read_summary(short)
    table = concat_tables(tables)
    statistics = next((job.run.statistics for job in jobs if job.run), StatisticsConfig())
    return table, summarise(table, statistics.resamples, statistics.level, statistics.seed, statistics.equivalence)


def _nothing(folder: Path, failures: Sequence[Failed], missing: Sequence[str]) -> str:
    if failures:
        return f"no results in '{folder}': {len(failures)} jobs failed, the first with: {failures[0].reason}"
    if missing:
        return f"no results in '{folder}' yet: none of its jobs has a {TABLE}; let the run finish, or start it again"
    return f"no results in '{folder}': it has no {TABLE}; give the output folder of a run or of a sweep"


# -- what was asked for ----------------------------------------------------------------------------------


def _asked(folder: Path) -> Any:
    """Hydra's own record of the command line; None if it is not there or cannot be read."""
    for path in (folder / _HYDRA, folder / _SWEEP):
        try:
            return OmegaConf.load(path).hydra
        except (OSError, YAMLError, OmegaConfBaseException):
            continue
    return None


def _command(folder: Path) -> str | None:
    """The command that makes these results again, ready for a shell."""
    hydra = _asked(folder)
    if hydra is None:
        return None
    several = ["-m"] if (folder / _SWEEP).is_file() else []
    words = [word for word in hydra.overrides.hydra if not word.startswith("hydra.mode=")]
    return shlex.join(["python", "-m", "mech_music.run", *several, *words, *hydra.overrides.task])


def _not_started(folder: Path, places: Sequence[Path]) -> list[str]:
    """The jobs of a sweep that have no folder."""
    hydra = _asked(folder) if (folder / _SWEEP).is_file() else None
    numbers = {_number(place) for place in places}
    if hydra is None or None in numbers:
        return []
    params = [f"{key}={value}" for key, value in (OmegaConf.select(hydra, "sweeper.params") or {}).items()]
    try:
        overrides = OverridesParser.create().parse_overrides([*params, *hydra.overrides.task])
        (jobs,) = BasicSweeper.split_arguments(overrides, None)
    except (HydraException, ValueError):  # another sweeper's own grammar
        return []
    absent = [(number, job) for number, job in enumerate(jobs) if number not in numbers]
    named = [f"Job {number} was not started: {' '.join(job)}" for number, job in absent[:_MOST_NAMED]]
    more = len(absent) - len(named)
    return named + ([f"… and {more} more jobs were not started."] if more else [])
