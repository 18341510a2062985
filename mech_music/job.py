"""One job, from its config to its tables, figures and sounds; and the prefetch of many jobs' clips."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate

from mech_music.config import RunConfig
from mech_music.edits import Row
from mech_music.engine import open_engine
from mech_music.explain import explain
from mech_music.report import save, show
from mech_music.sweep import Done
from mech_music.tasks import Task

log = logging.getLogger(__name__)


def perform(run: RunConfig, folder: Path, sweep: str | None = None) -> Done:
    """Run one job and leave its results in ``folder``. ``sweep``: the sweep's name, if it is part of one."""
    task: Task = instantiate(run.task)
    outcomes = open_engine(run).outcomes(task.plan(run))
    summary = save(task.score(run, outcomes), run.statistics, folder)
    if sweep is None:
        show(summary, folder)
    return Done(folder)


def prefetch(runs: Sequence[RunConfig]) -> None:
    """Make the clips of jobs that share one engine in common passes, each clip once.

    A job that cannot be planned, and an engine that fails, are left for the job's own turn, which says why.
    """
    rows: dict[Row, None] = {}
    try:
        for run in runs:
            rows |= dict.fromkeys(instantiate(run.task).plan(run))
        open_engine(runs[0]).outcomes(rows)
    except Exception as error:
        log.info("not prefetched: %s", explain(error), exc_info=error)
