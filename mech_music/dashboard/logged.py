"""What the runs of a folder logged to W&B: their ids, their group, and their keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mech_music.errors import UserError
from mech_music.report.found import Found, Job
from mech_music.results.columns import Schema
from mech_music.results.curves import layer_metrics
from mech_music.results.results import SUMMARY
from mech_music.results.tables import read_summary, schema_of

# The axes by which runs are grouped and filtered, and where their configs hold them.
AXES: Mapping[str, str] = {
    "component": "component",
    "technique": "technique.name",
    "pair": "pair",
    "strength": "strength",
    "lens": "lens.name",
    "reading": "reading",
}
_APART = {"control", "best"}  # parts of keys that no pair's own keys begin with


@dataclass(frozen=True)
class LoggedRun:
    """One W&B run. ``curves``, ``values``: keys logged at every layer and as summary, each with its greatest value."""

    run_id: str
    config: Any
    schema: Schema
    curves: Mapping[str, float]
    values: Mapping[str, float]
    media: tuple[str, ...]

    def axis(self, name: str) -> str:
        """The run's value on an axis of `AXES`, as W&B filters for it."""
        return f"{self.config.strength:g}" if name == "strength" and hasattr(self.config, name) else self._words()[name]

    def _words(self) -> Mapping[str, str]:
        found = {axis: OmegaConf.select(self._written, place) for axis, place in AXES.items()}
        return {axis: "" if value is None else str(value) for axis, value in found.items()}

    @cached_property
    def _written(self) -> DictConfig:
        return OmegaConf.structured(self.config)


def logged_runs(found: Found) -> list[LoggedRun]:
    """The runs of every job. UserError if no job has any."""
    runs = [run for job in found.jobs if (run := _logged(job)) is not None]
    if not runs:
        raise UserError(f"no W&B runs in '{found.folder}': its jobs ran with logger=none; run them with logger=wandb")
    return runs


def group_of(folder: Path) -> str | None:
    """The group of a sweep's runs; None for a single run, which has none."""
    return "/".join(folder.resolve().parts[-2:]) if (folder / "multirun.yaml").is_file() else None


def varying(runs: Sequence[LoggedRun]) -> list[str]:
    """The axes in which the runs differ."""
    return [axis for axis in AXES if len({run.axis(axis) for run in runs}) > 1]


def beginnings(keys: Mapping[str, float], key: str) -> Iterator[str]:
    """What stands before ``key`` in ``keys``: nothing, or what tells the pairs of one run apart, with its slash."""
    for name in keys:
        before = name.removesuffix(key)
        if before != name and (not before or before.endswith("/")) and not _APART & set(before.split("/")):
            yield before


def _logged(job: Job) -> LoggedRun | None:
    run_id = _run_id(job.folder)
    if run_id is None or job.run is None or not (job.folder / SUMMARY).is_file():
        return None
    summary = read_summary(job.folder / SUMMARY)
    curves, values = layer_metrics(summary)
    greatest: dict[str, float] = {}
    for metrics in curves.values():
        greatest |= {key: max(value, greatest.get(key, -math.inf)) for key, value in metrics.items()}
    return LoggedRun(run_id, job.run, schema_of(summary), greatest, values, _media(job.folder))


def _run_id(folder: Path) -> str | None:
    """From the name of W&B's own folder, ``[offline-]run-<when>-<id>``; the newest."""
    names = sorted(path.name for path in (folder / "wandb").glob("*run-*-*") if path.is_dir())
    return names[-1].rpartition("-")[2] if names else None


def _media(folder: Path) -> tuple[str, ...]:
    sounds = ["audio"] if any((folder / "audio").glob("*.wav")) else []
    return (*sounds, *sorted(f"figures/{path.stem}" for path in (folder / "figures").glob("*.png")), "summary", "clips")
