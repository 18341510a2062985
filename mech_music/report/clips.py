"""The clips behind the cells: which are chosen, and what a page needs of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.base.errors import UserError
from mech_music.cli.explain import explain
from mech_music.config.schema import RunConfig
from mech_music.engine.opening import open_engine
from mech_music.listeners.classes import CLASSIFIER
from mech_music.listeners.classifier import label_names
from mech_music.metrics.measures import log_softmax
from mech_music.prompts.prompt_set import PromptSet
from mech_music.report.found import Job
from mech_music.report.sound import encoded, spectrogram
from mech_music.report.view import Clips, View
from mech_music.results.tables import schema_of

MOST = 360
_LOST = "the store has them no more, or they are of another model or other settings; run the command again to have them"
_TOP = 5
_A_SECOND, _A_CLIP = 7_000, 9_000  # a generous guess of what a second, and a picture, take on the page; bytes


@dataclass(frozen=True)
class Choice:
    """One prompt of a cell: ``end`` says whether it is the first, strongest, median or weakest of the cell's ``n``."""

    cell: int
    end: str
    n: int
    job: int
    duration: float
    line: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, str]:
        return self.line.get("baseline", self.line["row"]), self.line["row"]


@dataclass(frozen=True)
class Heard:
    """``sounds`` and ``samples`` as the page reads them; ``notes`` say which clips are not there, and why."""

    sounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def hear(view: View, effects: pd.DataFrame, jobs: Sequence[Job], room: int) -> Heard:
    """The clips of the chosen prompts of as many cells as fit in ``room`` bytes.

    ``effects``: a line a cell, its place is the cell's number. Clips come from the store; what that has no more is a
    note, and so is a job whose model or prompts are not here.
    """
    if view.clips is None:
        return Heard()
    choices = list(_within(_choices(view.rank, view.clips, effects, jobs), room))
    heard, sounds, studies = Heard(), dict[str, _Sound](), dict[int, PromptSet]()
    for place in dict.fromkeys(choice.job for choice in choices):
        wanted = {key for choice in choices if choice.job == place for key in choice.keys} - sounds.keys()
        try:
            studies[place] = cast(RunConfig, jobs[place].run).study
            found = _sounds(jobs[place], wanted)
        except UserError as error:
            heard.notes.append(f"No clips of job {jobs[place].folder.name}: {explain(error)}")
        else:
            sounds |= found
            if lost := len(wanted - found.keys()):
                which = "No clips" if not found else f"{lost} clips are missing"
                heard.notes.append(f"{which} of job {jobs[place].folder.name}: {_LOST}")
    for choice in (choice for choice in choices if all(key in sounds for key in choice.keys)):
        new = {key: sounds[key].shown for key in choice.keys if key not in heard.sounds}
        room -= sum(len(sound["audio"]) + len(sound["image"]) for sound in new.values()) + 1_500
        if room < 0:
            break
        heard.sounds.update(new)
        heard.samples.setdefault(choice.cell, []).append(_sample(view.clips, choice, sounds, studies[choice.job]))
    return heard


@dataclass(frozen=True)
class _Sound:
    """A clip as the page carries it, and what the classifier reads of it (None: no classifier is asked)."""

    shown: dict[str, Any]
    logits: np.ndarray | None


# -- which -----------------------------------------------------------------------------------------------


def _choices(rank: str, clips: Clips, effects: pd.DataFrame, jobs: Sequence[Job]) -> list[Choice]:
    """One prompt of every cell, then the next; within each round, cells of great effects first."""
    axes = [axis for axis in schema_of(effects).axes if axis != "role"]
    cells = {tuple(line): cell for cell, line in enumerate(effects[axes].itertuples(index=False))}
    choices: dict[tuple[int, str], Choice] = {}
    for place, job in enumerate(jobs):
        effect = schema_of(job.table).roles[0]
        measured = job.table.query(f"role == '{effect}' and not failed").dropna(subset=[rank])
        for values, lines in measured.groupby(axes, sort=False, dropna=False):
            cell = cells.get(cast(tuple[Any, ...], values))
            if cell is not None and job.run is not None:
                for end, n, line in _ends(rank, clips.ends, lines):
                    choices.setdefault((cell, end), Choice(cell, end, n, place, job.run.duration, line))
    size = effects[rank].to_numpy()
    return sorted(choices.values(), key=lambda choice: (clips.ends.index(choice.end), -size[choice.cell]))


def _ends(rank: str, wanted: Sequence[str], lines: pd.DataFrame) -> Iterator[tuple[str, int, dict[str, Any]]]:
    order = cast(list[dict[str, Any]], lines.sort_values(rank, kind="stable").to_dict("records"))
    first = min(order, key=lambda line: line["index"])
    ends = {"first": first, "strongest": order[-1], "median": order[(len(order) - 1) // 2], "weakest": order[0]}
    heard: list[int] = []
    for end in sorted(wanted, key=lambda end: end == "median"):  # the middle one of few may be an end: it is called so
        if ends[end]["index"] not in heard:
            heard.append(ends[end]["index"])
            yield end, len(order), ends[end]


def _within(choices: Sequence[Choice], room: int) -> Iterator[Choice]:
    """The first choices that will probably fit; an unedited clip is carried once for all its cells."""
    carried: set[str] = set()
    for choice in choices:
        carried |= set(choice.keys)
        a_clip = _A_CLIP + _A_SECOND * choice.duration
        if len(carried) * a_clip > room or len(carried) > MOST:
            return
        yield choice


# -- what of them ----------------------------------------------------------------------------------------


def _sounds(job: Job, wanted: set[str]) -> dict[str, _Sound]:
    """By clip key, those that the store has. UserError if the job's model or classifier is not here."""
    if not wanted:
        return {}
    engine = open_engine(cast(RunConfig, job.run))
    stored = engine.rows_of(wanted)
    if not stored:
        return {}
    rows = list(stored.values())
    listeners = ["classifier"] if "classifier" in job.table.columns else []
    answers = engine.answers(rows, listeners)
    waveforms, rate = engine.audio(rows)
    found: dict[str, _Sound] = {}
    for key, row, waveform in zip(stored, rows, waveforms, strict=True):
        picture = {"audio": encoded(waveform, rate), "image": spectrogram(waveform, rate)}
        logits = answers.reading(row, "classifier")["logits"] if listeners else None
        found[key] = _Sound(picture | {"seconds": len(waveform) / rate, "top_hz": rate / 2}, logits)
    return found


def _sample(clips: Clips, choice: Choice, sounds: Mapping[str, _Sound], study: PromptSet) -> dict[str, Any]:
    """One prompt as the page shows it, with what the classifier hears before and after."""
    line, (before, after) = choice.line, choice.keys
    asked = {word: study.concepts.get(line[axis]) for axis, word in clips.labels.items()}
    marked = {found.labels[0]: word for word, found in asked.items() if found and found.heard_by == CLASSIFIER}
    return {
        "end": choice.end,
        "n": choice.n,
        **{name: line[name] for name in ("index", "prompt", *clips.told)},
        "before": before,
        "after": after,
        "labels": _labels(sounds[before].logits, sounds[after].logits, marked),
    }


def _labels(before: np.ndarray | None, after: np.ndarray | None, marked: Mapping[int, str]) -> list[dict[str, Any]]:
    """The most probable labels of either clip and the marked ones, those of the line's concepts, by their greater
    probability."""
    if before is None or after is None:
        return []
    odds = [np.exp(log_softmax(logits)) for logits in (before, after)]
    shown = {*marked, *(label for one in odds for label in np.argsort(-one)[:_TOP].tolist())}
    names = label_names(len(before))
    ordered = sorted(shown, key=lambda label: (-max(one[label] for one in odds), label))
    return [
        {"name": names[label], "concept": marked.get(label, ""), "before": odds[0][label], "after": odds[1][label]}
        for label in ordered
    ]
