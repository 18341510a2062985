"""Activation patching between matched prompts: which activations carry the word in which two prompts differ?

Vig et al. (NeurIPS 2020) and Meng et al. (NeurIPS 2022): a clean and a corrupted prompt differ in one word; a run of
one goes on with activations of the other at one place, step by step, and the listener says how far it follows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mech_music.edits.row import Row
from mech_music.metrics import measures as metrics
from mech_music.tasks.patching.clips import chosen_clips
from mech_music.tasks.patching.columns import PATCHING
from mech_music.tasks.patching.settings import PatchingSettings as Settings
from mech_music.tasks.patching.trials import Trial, runs, trials

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.results.audio import Choice
    from mech_music.tasks.protocol import Figure

log = logging.getLogger(__name__)


class Patching:
    """Every pair × direction × site × window × prompt of the config, with its controls."""

    name: ClassVar[str] = PATCHING.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = PATCHING

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the words."""
        return tuple(dict.fromkeys(original.heard_by for original, _ in run.pairs))

    def plan(self, run: Settings) -> list[Row]:
        """Unpatched clips first."""
        plain = [row for one in runs(run) for row in (one.base, one.source)]
        return list(dict.fromkeys([*plain, *(trial.row for trial in trials(run))]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Measure every trial. A failed clip keeps its line, with ``failed`` set and no metrics."""
        parts = []
        for _, group in groupby(
            trials(run), key=lambda trial: (trial.run.direction, trial.run.own.name, trial.run.other.name)
        ):
            own = list(group)
            parts.append(
                pd.DataFrame([_described(run, one, answers) for one in own]).join(_measured(run, own, answers))
            )
        return PATCHING.attach(pd.concat(parts, ignore_index=True).loc[:, list(PATCHING.names)])

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """Those that moved furthest, that are in the middle, and that moved least."""
        return chosen_clips(table, run.audio)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Component by layer for each window; head by layer; sender by receiver."""
        from mech_music.tasks.patching.figures import head_maps, path_maps, site_maps

        return (site_maps, head_maps, path_maps)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """The share of the way at every site."""
        from mech_music.tasks.patching.terminal import share_table

        return share_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.patching.page import page

        return page()


def _described(run: Settings, trial: Trial, answers: Answers) -> dict[str, object]:
    """The axes and the clip of a line."""
    own, site = trial.run, trial.site
    return {
        "task": PATCHING.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "role": trial.role,
        "direction": own.direction.value,
        "component": site.component if site else "",
        "layer": site.layer if site else "",
        "head": site.head if site else "",
        "receiver": site.to if site else "",
        "original": own.original.name,
        "desired": own.desired.name,
        "frames": trial.frames,
        "half": run.half.value,
        "seeds": run.seeds,
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
        "prompt_set": run.study.name,
        "index": own.index,
        "repeat": own.repeat,
        "prompt": own.prompt.text,
        "row": answers.key(trial.row),
        "baseline": answers.key(own.base),
        "source": answers.key(own.source),
    }


def _measured(run: Settings, trials: Sequence[Trial], answers: Answers) -> pd.DataFrame:
    """The metrics of the trials of one pair and direction; NaN where a clip failed."""
    own, other = trials[0].run.own, trials[0].run.other
    before, after, source = (
        np.stack([answers.reading(row, own.heard_by)["logits"] for row in rows])
        for rows in zip(*((trial.run.base, trial.row, trial.run.source) for trial in trials), strict=True)
    )
    good = np.asarray(np.isfinite(np.stack([before, after, source])).all(axis=(0, 2)))
    measured = {name: np.full(len(trials), np.nan) for name in PATCHING.metrics}
    if good.any():
        first, second = own.labels[0], other.labels[0]
        effect = metrics.effectiveness(before[good], after[good], first, second)
        gap = metrics.effectiveness(before[good], source[good], first, second).total
        rivals = [one.labels[0] for one in run.study.categories[other.category].concepts]
        found = {
            "effect": effect.total,
            "effect_run": effect.original,
            "effect_source": effect.desired,
            "gap": gap,
            "share": np.asarray(effect.total) / _whole_way(trials, good, np.asarray(gap)),
            "precision": metrics.precision(before[good], after[good]),
            "flipped": metrics.flipped(after[good], second, [one for one in rivals if one not in other.labels]),
        }
        for name, values in found.items():
            measured[name][good] = values
    return pd.DataFrame({**measured, "failed": ~good})


def _whole_way(trials: Sequence[Trial], good: np.ndarray, gap: np.ndarray) -> float:
    """The mean way from run to source over all clips, each counted once: single ones may be near 0 by chance.

    NaN, and a warning, where the listener does not hear the word that prompts differ in.
    """
    places = {trials[at].run: place for place, at in enumerate(np.flatnonzero(good).tolist())}
    mean = float(gap[list(places.values())].mean())
    if mean > 0.0:
        return mean
    own, other = trials[0].run.own.name, trials[0].run.other.name
    log.warning("clips of '%s' are heard as '%s' no less than those of '%s' are: no share is told", own, other, other)
    return np.nan
