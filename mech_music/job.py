"""One job, from its config to its tables, figures and sounds; and the prefetch of many jobs' clips."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from mech_music.config import RunConfig, as_run
from mech_music.edits import Row
from mech_music.engine import Engine, open_engine
from mech_music.report import SUMMARY, TABLE, show_job
from mech_music.sweep import Done
from mech_music.tables import summarise, write_summary, write_table
from mech_music.tasks import Task
from mech_music.validation import validate

log = logging.getLogger(__name__)


def perform(run: RunConfig, folder: Path, sweep: str | None) -> Done:
    """Run one job and leave its results in ``folder``. ``sweep``: the sweep's name, if it is part of one."""
    task: Task = instantiate(run.task)
    outcomes = open_engine(run).outcomes(task.plan(run))
    table = task.score(run, outcomes)
    summary = summarise(table, run.statistics.resamples, run.statistics.level, run.statistics.seed)
    write_table(table, folder / TABLE)
    write_summary(summary, folder / SUMMARY)
    if sweep is None:
        show_job(summary, folder)
    return Done(folder)


def prefetch(configs: Sequence[DictConfig]) -> None:
    """Make the clips of all these jobs in common passes, each clip once.

    A job that cannot be planned or run is left to fail by itself, with its reason, when its turn comes.
    """
    rows: dict[Engine, dict[Row, None]] = {}
    for config in configs:
        try:
            run = as_run(config)
            validate(run)
            planned = instantiate(run.task).plan(run)
            rows.setdefault(open_engine(run), {}).update(dict.fromkeys(planned))
        except Exception as error:
            log.debug("a job cannot be planned", exc_info=error)
    for engine, union in rows.items():
        try:
            engine.outcomes(union)
        except Exception as error:
            log.debug("the common passes stopped", exc_info=error)
