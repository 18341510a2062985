"""The clips behind the cells: which are chosen, and what a page needs of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.cli.explain import explain
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Row
from mech_music.engine.engine import Answers, open_engine
from mech_music.errors import UserError
from mech_music.listeners.classifier import label_names
from mech_music.metrics.measures import log_softmax
from mech_music.prompts.concepts import CONCEPTS
from mech_music.report.found import Job
from mech_music.report.sound import encoded, spectrogram
from mech_music.report.view import View
from mech_music.results.tables import conform, schema_of
from mech_music.tasks.registry import task_of

log = logging.getLogger(__name__)
MOST = 360
_TOP = 5
_A_SECOND, _A_CLIP = 7_000, 9_000  # a generous guess of what a second, and a picture, take on the page; bytes


@dataclass(frozen=True)
class Choice:
    """One prompt of a cell: ``end`` says whether it is the first, the strongest or the weakest of the cell's ``n``."""

    cell: int
    end: str
    n: int
    job: int
    line: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, str]:
        return self.line["baseline"], self.line["row"]


@dataclass(frozen=True)
class Heard:
    """``sounds`` and ``samples`` as the page reads them; ``notes`` say which clips are not there, and why."""

    sounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def hear(view: View, effects: pd.DataFrame, jobs: Sequence[Job], room: int) -> Heard:
    """The clips of the chosen prompts of as many cells as fit in ``room`` bytes.

    ``effects``: a line a cell, its place is the cell's number. Clips come from the store, remade from their tokens
    where need be. A job whose model is not here, or is not the one that made its table, has a note instead of clips.
    """
    choices = list(_within(_choices(view, effects, jobs), room)) if view.heard else []
    sounds: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for place in dict.fromkeys(choice.job for choice in choices):
        job = jobs[place]
        wanted = {key for choice in choices if choice.job == place for key in choice.keys} - sounds.keys()
        try:
            sounds |= _sounds(job, wanted)
        except UserError as error:
            notes.append(f"No clips of job {job.folder.name}: {explain(error)}")
    samples: dict[int, list[dict[str, Any]]] = {}
    kept: dict[str, dict[str, Any]] = {}
    for choice in (choice for choice in choices if all(key in sounds for key in choice.keys)):
        new = {key: sounds[key] for key in choice.keys if key not in kept}
        room -= sum(len(sound["audio"]) + len(sound["image"]) for sound in new.values()) + 1_500
        if room < 0:
            break
        kept |= new
        samples.setdefault(choice.cell, []).append(_sample(view, choice, sounds))
    shown = {
        key: {part: sound[part] for part in ("audio", "image", "seconds", "top_hz")} for key, sound in kept.items()
    }
    return Heard(shown, samples, notes)


# -- which -----------------------------------------------------------------------------------------------


def _choices(view: View, effects: pd.DataFrame, jobs: Sequence[Job]) -> list[Choice]:
    """One prompt of every cell, then the next; within each round, cells of great effects first."""
    axes = [axis for axis in schema_of(effects).axes if axis != "role"]
    cells = {tuple(line): cell for cell, line in enumerate(effects[axes].itertuples(index=False))}
    choices: dict[tuple[int, str], Choice] = {}
    for place, job in enumerate(jobs):
        effect = schema_of(job.table).roles[0]
        measured = job.table.query(f"role == '{effect}' and not failed").dropna(subset=[view.rank])
        for values, lines in measured.groupby(axes, sort=False, dropna=False):
            cell = cells.get(cast(tuple[Any, ...], values)) if job.run is not None else None
            if cell is not None:
                for choice in _ends(view, cell, place, lines):
                    choices.setdefault((cell, choice.end), choice)
    size = effects[view.rank].to_numpy()
    return sorted(choices.values(), key=lambda choice: (view.heard.index(choice.end), -size[choice.cell]))


def _ends(view: View, cell: int, job: int, lines: pd.DataFrame) -> Iterator[Choice]:
    order = cast(list[dict[str, Any]], lines.sort_values(view.rank, kind="stable").to_dict("records"))
    first = min(order, key=lambda line: line["index"])
    ends = {"first": first, "strongest": order[-1], "weakest": order[0]}
    heard: list[int] = []
    for end in view.heard:
        if ends[end]["index"] not in heard:
            heard.append(ends[end]["index"])
            yield Choice(cell, end, len(order), job, ends[end])


def _within(choices: Sequence[Choice], room: int) -> Iterator[Choice]:
    """The first choices that will probably fit; an unedited clip is carried once for all its cells."""
    carried: set[str] = set()
    for choice in choices:
        carried |= set(choice.keys)
        a_clip = _A_CLIP + _A_SECOND * float(choice.line["duration"])
        if len(carried) * a_clip > room or len(carried) > MOST:
            return
        yield choice


# -- what of them ----------------------------------------------------------------------------------------


def _sounds(job: Job, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """By row key. UserError if the model cannot be opened, or gives other clips than the table's."""
    if not wanted:
        return {}
    known = _rows(job)
    engine = open_engine(cast(RunConfig, job.run))
    key = cast(str, job.table["baseline"].iloc[0])
    untouched = known[key]
    # Asked alone: where nothing of the table is in the store, one clip is made in vain, and not all of them.
    if engine.outcomes([untouched])[untouched].key != key:
        raise UserError("the model, the classifier or the settings here are not those that made its table")
    rows = [row for key, row in known.items() if key in wanted]
    outcomes = engine.outcomes(rows)
    waveforms, rate = engine.audio(rows)
    return {
        outcomes[row].key: {
            "audio": encoded(waveform, rate),
            "image": spectrogram(waveform, rate),
            "seconds": len(waveform) / rate,
            "top_hz": rate / 2,
            "logits": outcomes[row].logits,
        }
        for row, waveform in zip(rows, waveforms, strict=True)
    }


def _rows(job: Job) -> dict[str, Row]:
    """The job's rows by their keys in the store.

    The plan is scored once with outcomes that failed and have their own numbers for keys: that tells, without a
    model, which row each line of the table stands for.
    """
    run = cast(RunConfig, job.run)
    task = task_of(run)
    plan = cast(Sequence[Row], task.plan(run))
    empty = np.full(1, np.nan, np.float32), np.full((1, 1), -1, np.int16)
    outcomes = {row: Outcome(*empty, str(number)) for number, row in enumerate(plan)}
    numbered = conform(task.score(run, Answers(outcomes)))
    line = [*schema_of(job.table).axes, "index"]
    both = job.table[[*line, "row", "baseline"]].merge(numbered[[*line, "row", "baseline"]], on=line)
    return {
        key: plan[int(number)]
        for part in ("row", "baseline")
        for key, number in zip(both[f"{part}_x"], both[f"{part}_y"], strict=True)
    }


def _sample(view: View, choice: Choice, sounds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One prompt as the page shows it, with what the classifier hears before and after."""
    line = choice.line
    before, after = (np.exp(log_softmax(sounds[key]["logits"])) for key in choice.keys)
    marked = {line[axis]: word for axis, word in (view.labels or {}).items()}
    return {
        "end": choice.end,
        "n": choice.n,
        "index": line["index"],
        "prompt": line["prompt"],
        **{name: line[name] for name in view.told},
        "before": choice.keys[0],
        "after": choice.keys[1],
        "labels": _labels(before, after, marked),
    }


def _labels(before: np.ndarray, after: np.ndarray, marked: Mapping[str, str]) -> list[dict[str, Any]]:
    """The most probable labels of either clip and those of the marked concepts, by their greater probability."""
    role = {CONCEPTS[name].labels[0]: word for name, word in marked.items() if name in CONCEPTS}
    shown = {*role, *np.argsort(-before)[:_TOP].tolist(), *np.argsort(-after)[:_TOP].tolist()}
    names = label_names(len(before))
    ordered = sorted(shown, key=lambda label: (-max(before[label], after[label]), label))
    return [
        {"name": names[label], "concept": role.get(label, ""), "before": before[label], "after": after[label]}
        for label in ordered
    ]
