"""Results to Weights & Biases, or to nowhere: one run a job, offline unless asked otherwise.

A run's id is a hash of the resolved config and its steps are counted the same way each time. So a job that runs
again resumes its run: online the server drops the steps it has, offline the new folder takes the place of the
old one (unless that was synced).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mech_music.base.errors import UserError
from mech_music.results.audio import Clip
from mech_music.results.tables import schema_of
from mech_music.tracking.curves import curves_of

if TYPE_CHECKING:
    import wandb


class Tracker:
    """Where a job's results go; this one: nowhere. All of it is optional: a job's own files hold the same."""

    def log_origin(self, about: Mapping[str, str]) -> None:
        """Which model and classifier were found: source and commit, fingerprints."""

    def log_summary(self, summary: pd.DataFrame) -> None:
        """Metrics against the layer, the best layer's as summary values, and the lines as a table."""

    def log_table(self, table: pd.DataFrame) -> None:
        """The long table, one line per condition and prompt."""

    def log_audio(self, clips: Sequence[Clip]) -> None:
        """Clips with their captions."""

    def log_figures(self, paths: Sequence[Path]) -> None:
        """Figures; those that are not PNG are passed over."""


class WandbTracker(Tracker):
    """Results go to one W&B run that is open."""

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        self._step = 0

    def log_origin(self, about: Mapping[str, str]) -> None:
        self._run.config.update({"origin": dict(about)}, allow_val_change=True)

    def log_summary(self, summary: pd.DataFrame) -> None:
        import wandb

        curves = curves_of(summary)
        self._run.config.update({"meanings": {one.name: one.meaning for one in schema_of(summary).metric_columns}})
        self._run.define_metric(curves.x, hidden=True)
        for key in sorted({key for metrics in curves.history.values() for key in metrics}):
            self._run.define_metric(key, step_metric=curves.x)
        for at, metrics in sorted(curves.history.items()):
            self._log({curves.x: at, **metrics})
        self._log({"summary": wandb.Table(dataframe=_plain(summary))})
        self._run.summary.update(curves.summary)

    def log_table(self, table: pd.DataFrame) -> None:
        import wandb

        self._log({"clips": wandb.Table(dataframe=_plain(table))})

    def log_audio(self, clips: Sequence[Clip]) -> None:
        import wandb

        if clips:
            self._log({"audio": [wandb.Audio(str(clip.path), caption=clip.caption) for clip in clips]})

    def log_figures(self, paths: Sequence[Path]) -> None:
        import wandb

        # A key each: W&B complains of one key with images of several sizes.
        images = {f"figures/{path.stem}": wandb.Image(str(path)) for path in paths if path.suffix == ".png"}
        if images:
            self._log(images)

    def _log(self, values: Mapping[str, Any]) -> None:
        # The explicit step is what makes a resumed run drop what it already holds.
        self._run.log(dict(values), step=self._step)
        self._step += 1


def run_id(config: Mapping[str, Any]) -> str:
    """16 hex digits that name a job: a hash of its resolved config (without output folders and loggers)."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@contextmanager
def open_tracker(
    mode: str,
    project: str,
    run_id: str,
    group: str | None,
    name: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    folder: Path,
    entity: str | None = None,
) -> Iterator[Tracker]:
    """A tracker for one job, finished when the block ends, and marked failed when it ends with an exception.

    ``mode``: offline, online, disabled or none. ``folder``: the job's output folder, in which W&B keeps
    ``wandb/``. UserError if W&B is online without a login or out of reach, or the folder cannot be written.
    """
    if mode in ("none", "disabled"):
        yield Tracker()
        return
    earlier = _unsynced(folder, run_id)
    about = {"project": project, "id": run_id, "group": group, "name": name, "entity": entity}
    run = _start(mode, folder, config=dict(config), tags=list(tags), **about)
    try:
        yield WandbTracker(run)
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()
    for old in earlier:
        shutil.rmtree(old, ignore_errors=True)


def _start(mode: str, folder: Path, **about: Any) -> wandb.Run:
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    _writable(folder)
    if mode == "online":
        _must_be_logged_in()
    settings = wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True,
        x_save_requirements=False,
    )  # fmt: skip
    try:
        return wandb.init(
            mode="online" if mode == "online" else "offline",
            dir=folder,
            resume="allow",
            reinit="create_new",
            settings=settings,
            **about,
        )
    except wandb.Error as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"W&B could not start a run ({reason}): use logger.mode=offline and sync later") from None


def logged_in() -> bool:
    """Whether this machine has a W&B login. Nothing is sent."""
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True))
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except wandb.Error:
        return False


def _must_be_logged_in() -> None:
    if not logged_in():
        raise UserError("logger.mode=online needs a W&B login: run `wandb login` once, or use logger.mode=offline")


def _writable(folder: Path) -> None:
    """W&B would silently write to a temporary folder instead."""
    try:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write W&B's folder '{folder / 'wandb'}': {error.strerror}") from None
    if not os.access(folder / "wandb", os.W_OK):
        raise UserError(f"cannot write W&B's folder '{folder / 'wandb'}': permission denied")


def _unsynced(folder: Path, run_id: str) -> list[Path]:
    """Folders of earlier offline runs of this id that no server has seen."""
    runs = sorted((folder / "wandb").glob(f"offline-run-*-{run_id}"))
    return [run for run in runs if not any(run.glob("*.synced"))]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Strings as Python objects, which W&B's tables take."""
    return frame.astype(dict.fromkeys(frame.select_dtypes("str").columns, object))
