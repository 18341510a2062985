"""Two runs on one page: in which settings they differ, their tables next to each other, and the differences of the
cells that both have, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from mech_music.base.errors import UserError
from mech_music.metrics.intervals import mean_intervals
from mech_music.report.default import view_of
from mech_music.report.found import Found
from mech_music.report.page import Page, part, template
from mech_music.report.paths import portable, portable_command
from mech_music.report.payload import as_json, diverging, in_order, measures, selectors, short
from mech_music.report.provenance import fingerprints
from mech_music.report.view import ENDS, View
from mech_music.results.columns import Schema
from mech_music.results.tables import Line, lines_of, schema_of

Key: TypeAlias = tuple[Any, ...]
MOST_CELLS = 6_000
_SCRIPTS = ("dom.js", "two_runs.js")
_NO_NUMBER = ("engine", "logger", "audio", "browser", "task")  # settings that decide no number of a table


@dataclass(frozen=True)
class Side:
    """One of the two runs: what was found, what it is called, and its effects beside their controls."""

    name: str
    found: Found
    effects: pd.DataFrame


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in both; the values that each run has of it."""

    name: str
    values: tuple[str, str]


def build(one: Found, two: Found, names: tuple[str, str]) -> Page:
    """The page of both. UserError if they are of different tasks, or have more cells than a page can hold."""
    if one.schema.task != two.schema.task:
        raise UserError(
            f"'{names[0]}' is a run of task {one.schema.task}, '{names[1]}' of {two.schema.task}: not beside"
        )
    schema = one.schema.extended(two.schema.declared, two.schema.metric_columns)
    view = view_of(schema)
    sides = tuple(Side(name, found, _effects(view, found)) for name, found in zip(names, (one, two), strict=True))
    view = view.fitted(pd.concat([side.effects for side in sides]))
    shown = [name for name in view.shown if all(name in side.effects for side in sides)]
    settings, axes = _settings(sides), _shared_axes(schema, sides)
    data = _payload(replace(view, shown=tuple(shown)), schema, sides, axes)
    if len(data["columns"]["n"]) > MOST_CELLS:
        raise UserError(f"the two runs have {len(data['columns']['n'])} cells, and a page holds {MOST_CELLS}")
    html = template("two_runs.html.jinja").render(
        view=view,
        title=" and ".join(names),
        style=Markup(part("page.css")),
        scripts=Markup("\n".join(map(part, _SCRIPTS))),
        names=names,
        origins=[_origin(side) for side in sides],
        settings=settings,
        models=[side.found.models for side in sides],
        configs=all(side.found.runs for side in sides),
        notes=[f"{side.name}: {portable(note, side.found.folder)}" for side in sides for note in _notes(side.found)],
        data=Markup(as_json(data)),
    )
    return Page(html, 0)


def names_of(folders: Sequence[Path]) -> tuple[str, str]:
    """What two folders are called: the shortest ends of their paths that tell them apart. UserError if they are one."""
    one, two = (folder.resolve().parts for folder in folders)
    for n in range(1, max(len(one), len(two)) + 1):
        if one[-n:] != two[-n:]:
            return "/".join(one[-n:]), "/".join(two[-n:])
    raise UserError(f"'{folders[0]}' was given twice: name two folders of results to have them beside each other")


def _effects(view: View, found: Found) -> pd.DataFrame:
    effects = view.beside(found.summary)
    if effects.empty:
        raise UserError(f"nothing to show in '{found.folder}': its table holds controls only")
    return effects


def _notes(found: Found) -> list[str]:
    return [*found.missing, *(f"failed: {one.folder.name}: {one.reason}" for one in found.failures)]


def _origin(side: Side) -> dict[str, Any]:
    folder, command = side.found.folder, side.found.command
    return {
        "name": side.name,
        "command": portable_command(command, folder) if command else "",
        "prints": [(name, portable(value, folder)) for name, value in fingerprints(side.found)],
    }


# -- settings --------------------------------------------------------------------------------------------


def _settings(sides: Sequence[Side]) -> list[Setting]:
    """The settings in which the runs differ, by their configs, or by the axes of their tables where there are none."""
    if all(side.found.runs for side in sides):
        told = [_told(map(_flat, side.found.runs)) for side in sides]
    else:
        axes = [axis for axis in schema_of(sides[0].effects).axes if axis not in ("task", "role")]
        told = [_told({axis: line[axis] for axis in axes} for line in lines_of(side.effects)) for side in sides]
    names = dict.fromkeys(name for one in told for name in one)
    both = {
        name: cast(tuple[str, str], tuple(", ".join(sorted(one.get(name, ["–"]))) for one in told)) for name in names
    }
    return [Setting(name, values) for name, values in both.items() if values[0] != values[1]]


def _told(settings: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """By setting, its values over the jobs of a run."""
    found: dict[str, set[str]] = {}
    for one in settings:
        for name, value in one.items():
            found.setdefault(name, set()).add(f"{value:g}" if isinstance(value, float) else str(value))
    return found


def _flat(run: Any) -> dict[str, Any]:
    """``{"technique.scale": 0.0, …}``: what decides the numbers of a job."""

    def walk(name: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {key: one for part, inner in value.items() for key, one in walk(f"{name}.{part}", inner).items()}
        if isinstance(value, list):
            return {name: ", ".join(map(str, value)) or "none"}
        return {name: value.value if isinstance(value, Enum) else value}

    parts = {name: value for name, value in asdict(run).items() if name not in _NO_NUMBER}
    return {key: value for name, own in parts.items() for key, value in walk(name, own).items()}


# -- cells -----------------------------------------------------------------------------------------------


def _shared_axes(schema: Schema, sides: Sequence[Side]) -> list[str]:
    """The axes that name a cell in both runs: not those of which each run has one value, and another than the other."""

    def is_setting(axis: str) -> bool:
        one, two = (set(side.effects[axis]) for side in sides)
        return len(one) == len(two) == 1 and one != two

    return [axis for axis in schema.axes if axis not in ("task", "role") and not is_setting(axis)]


def _payload(view: View, schema: Schema, sides: Sequence[Side], axes: list[str]) -> dict[str, Any]:
    """``columns``: a list a column, a place in them is a cell; ``a_``, ``b_``, ``d_``: the runs and B less A."""
    lines = [_by_key(side.effects, axes) for side in sides]
    keys = list(dict.fromkeys(key for own in lines for key in own))
    values = [_by_prompt(side, view.shown, axes) for side in sides]
    columns: dict[str, list[Any]] = {axis: [key[place] for key in keys] for place, axis in enumerate(axes)}
    for letter, own in zip("ab", lines, strict=True):
        for name in ("n", "verdict", *(metric + end for metric in view.shown for end in ENDS)):
            columns[f"{letter}_{name}"] = [short(own[key][name]) if key in own else None for key in keys]
    differences = [
        _difference(values[0].get(key, {}), values[1].get(key, {}), sides[0].found, len(view.shown)) for key in keys
    ]
    columns["n"] = [n for n, _ in differences]
    for at, metric in enumerate(view.shown):
        for place, end in enumerate(ENDS):
            columns[f"d_{metric}{end}"] = [short(found[place][at]) for _, found in differences]
    both = schema.attach(pd.concat([side.effects for side in sides], ignore_index=True))
    told = {name: dict(measure) for name, measure in measures(view, both, []) if name in view.shown}
    scales = {name: diverging([value for value in columns[f"d_{name}"] if value is not None]) for name in told}
    for name in view.more:
        columns[name] = [next(own[key][name] for own in lines if key in own) for key in keys]
    same = {axis: schema.task if axis == "task" else "" for axis in schema.axes if axis not in axes}
    asked = selectors(view, schema.attach(pd.DataFrame({name: columns[name] for name in (*axes, *view.more)} | same)))
    named = dict.fromkeys([*axes, *asked])
    return {
        "names": [side.name for side in sides],
        "compared": [bool(set(side.found.summary["role"]) - {schema.roles[0]}) for side in sides],
        "axes": axes,
        "within": [axis for axis in view.within if axis in axes],
        "selectors": asked,
        "orders": {name: in_order(pd.Series(columns[name], name=name), [*view.words.get(name, ())]) for name in named},
        "words": view.words,
        "site": view.site,
        "rank": view.rank if view.rank in told else next(iter(told)),
        "shown": list(told),
        "measures": told,
        "differences": scales,
        "level": float(sides[0].found.summary["level"].iloc[0]),
        "columns": columns,
    }


def _by_key(effects: pd.DataFrame, axes: Sequence[str]) -> dict[Key, Line]:
    return {tuple(line[axis] for axis in axes): line for line in lines_of(effects)}


def _by_prompt(side: Side, shown: Sequence[str], axes: list[str]) -> dict[Key, dict[Key, np.ndarray]]:
    """Of each cell, by prompt: the metrics of its clip, or their means over its clips."""
    role = schema_of(side.found.table).roles[0]
    lines = cast(pd.DataFrame, side.found.table.query(f"role == '{role}' and not failed"))
    clips: dict[Key, dict[Key, list[np.ndarray]]] = {}
    keys, prompts = (list(lines[names].itertuples(index=False, name=None)) for names in (axes, ["index", "prompt"]))
    for key, prompt, values in zip(keys, prompts, lines[list(shown)].to_numpy(float), strict=True):
        clips.setdefault(key, {}).setdefault(prompt, []).append(values)
    return {key: {prompt: np.mean(values, axis=0) for prompt, values in own.items()} for key, own in clips.items()}


def _difference(
    one: Mapping[Key, np.ndarray], two: Mapping[Key, np.ndarray], found: Found, metrics: int
) -> tuple[int, np.ndarray]:
    """Over the prompts that both runs have of a cell: how many, and B less A ``[mean low high, metric]``."""
    common = [prompt for prompt in one if prompt in two]
    if not common:
        return 0, np.full((3, metrics), np.nan)
    less = np.stack([two[prompt] - one[prompt] for prompt in common])
    resamples, level = (found.summary[name].iloc[0] for name in ("resamples", "level"))
    means = mean_intervals(less, int(resamples), float(level), seed=0)
    return len(common), np.stack([means.mean, means.low, means.high])
