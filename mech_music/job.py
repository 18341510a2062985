"""One job, from its config to its tables, figures and sounds; and the prefetch of many jobs' clips."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from hydra.utils import instantiate

from mech_music.audio import Clip, select_clips, write_clips
from mech_music.config import AudioConfig, RunConfig
from mech_music.edits import Row
from mech_music.engine import Engine, open_engine
from mech_music.explain import explain
from mech_music.report import draw, save, show
from mech_music.store import Outcome
from mech_music.sweep import Done
from mech_music.tasks import Task

log = logging.getLogger(__name__)


def perform(run: RunConfig, folder: Path, sweep: str | None = None) -> Done:
    """Run one job and leave its results in ``folder``. ``sweep``: the sweep's name, if it is part of one."""
    task: Task = instantiate(run.task)
    engine = open_engine(run)
    outcomes = engine.outcomes(task.plan(run))
    table = task.score(run, outcomes)
    summary = save(table, run.statistics, folder)
    write_audio(engine, outcomes, table, run.audio, folder)
    if sweep is None:
        draw(summary, folder)
        show(summary, folder)
    return Done(folder)


def write_audio(
    engine: Engine, outcomes: Mapping[Row, Outcome], table: pd.DataFrame, wanted: AudioConfig, folder: Path
) -> list[Clip]:
    """The original and edited clips of the strongest and the weakest effects, in ``audio/``."""
    choices = select_clips(table, wanted.strongest, wanted.weakest)
    if not choices:
        return []
    keys = {key for choice in choices for key in (choice.row, choice.baseline)}
    rows = [row for row, outcome in outcomes.items() if outcome.key in keys]
    waveforms = {outcomes[row].key: waveform for row, waveform in zip(rows, engine.audio(rows), strict=True)}
    return write_clips(choices, waveforms, engine.sample_rate, folder / "audio")


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
