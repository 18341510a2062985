"""One job, from its config to its tables, figures and sounds; and the prefetch of many jobs' clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from mech_music.base.errors import Refused, UserError
from mech_music.cli.explain import explain
from mech_music.cli.validation import validate
from mech_music.config.schema import RunConfig, naming
from mech_music.edits.row import Row, Source
from mech_music.engine.engine import Answers, Engine
from mech_music.engine.executors.protocol import WorkersFailed
from mech_music.engine.opening import open_engine
from mech_music.results.audio import Choice, Clip, write_clips
from mech_music.results.results import draw, save, show
from mech_music.results.sweep import Done
from mech_music.tasks.protocol import Browsing, Exporting
from mech_music.tasks.registry import task_of
from mech_music.tracking.wandb import Tracker, open_tracker, run_id

log = logging.getLogger(__name__)


def perform(run: RunConfig, folder: Path, sweep: str | None = None) -> Done:
    """Run one job and leave its results in ``folder``. ``sweep``: the sweep's name, if it is part of one.

    UserError if the config makes no sense, `Refused` where a run alone could not begin. A job that fails marks its W&B
    run (if it has one) as failed.
    """
    if sweep is None:
        _must_begin(run)
    with tracked(run, folder, sweep) as tracker:
        validate(run)
        task = task_of(run)
        engine = open_engine(run)
        answers = engine.answers(task.plan(run), task.listeners(run))
        tracker.log_origin(engine.about)
        table = task.score(run, answers)
        table = table if "schema" in table.attrs else task.schema.attach(table)
        summary = save(table, run.statistics, folder)
        if isinstance(task, Exporting):
            task.export(run, answers, table, engine.passes.source.weights, folder)
        tracker.log_summary(summary)
        tracker.log_table(table)
        tracker.log_audio(write_audio(engine, answers, task.choose_clips(run, table), folder))
        # A sweep draws all its jobs together; one job of it only where somebody looks at it alone.
        if sweep is None or run.logger.name != "none":
            tracker.log_figures(draw(summary, folder))
        if sweep is None and isinstance(task, Browsing):  # of a sweep's jobs the report makes them
            browse(task, run, engine, folder)
    if sweep is None:
        show(summary, folder)
    return Done(folder)


def _must_begin(run: RunConfig) -> None:
    """What can be said before anything is loaded: of the config, and of the files that it names."""
    try:
        validate(run)
        open_engine(run)
    except UserError as error:
        raise Refused(str(error)) from error


def browse(task: Browsing, run: RunConfig, engine: Engine, folder: Path) -> None:
    """Write the browser of the task's features beside its results."""
    from mech_music.report.features.job import browser_of, said

    if (browser := browser_of(task, run, engine, folder)) is not None:
        log.info(said(browser))


def tracked(run: RunConfig, folder: Path, sweep: str | None) -> AbstractContextManager[Tracker]:
    """The tracker that ``logger`` asks for; its run is named by what decides the job's results."""
    decisive = {key: value for key, value in naming(run).items() if key not in ("engine", "logger")}
    axes = [run.model.name, *(run.told_apart() or [task_of(run).name])]
    return open_tracker(
        mode="none" if run.logger.name == "none" else run.logger.mode.value,
        project=run.logger.project,
        entity=run.logger.entity,
        run_id=run_id(decisive),
        group=sweep,
        name=" ".join(axes),
        tags=[*axes[:3], *run.logger.tags],
        config=json.loads(json.dumps(asdict(run))),
        folder=folder,
    )


def write_audio(engine: Engine, answers: Answers, choices: Sequence[Choice], folder: Path) -> list[Clip]:
    """The chosen clips, in ``audio/``."""
    if not choices:
        return []
    keys = {key for choice in choices for key in choice.versions.values()}
    rows = [row for row, key in answers.keys.items() if key in keys]
    clips, sample_rate = engine.audio(rows)
    waveforms = {answers.key(row): clip for row, clip in zip(rows, clips, strict=True)}
    return write_clips(choices, waveforms, sample_rate, folder / "audio")


def prefetch(runs: Sequence[RunConfig]) -> bool:
    """Make the clips of jobs that share one engine in common passes, each clip once; whether all are there.

    A job that cannot be planned, and an engine that fails, are left for the job's own turn, which says why; but
    WorkersFailed for a cluster on which no job could do better.
    """
    wanted: dict[tuple[str, ...], dict[Row | Source, None]] = {}
    try:
        for run in runs:
            task = task_of(run)
            wanted.setdefault(task.listeners(run), {}).update(dict.fromkeys(task.plan(run)))
        for listeners, requests in wanted.items():
            open_engine(runs[0]).ensure(requests, listeners)
    except WorkersFailed:
        raise
    except Exception as error:
        log.info("not prefetched: %s", explain(error), exc_info=error)
        return False
    return True
