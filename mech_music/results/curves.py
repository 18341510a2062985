"""What a run logs by layer: the metrics of a summary as curves against ``layer``, and single values beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import pandas as pd

from mech_music.results.tables import ABOVE, Line, lines_of, schema_of
from mech_music.tasks.interchange.controls import beside_controls, controls_run

Parts: TypeAlias = Sequence[Callable[[Line], str]]
Curves: TypeAlias = tuple[dict[int, dict[str, float]], dict[str, float]]

_ENDS = ("", "_low", "_high")
_CONTROL_METRICS = ("effectiveness", "precision", "kept")
_BEST = ("effectiveness", "effectiveness_low", "effectiveness_high", "precision", "kept", "flipped")
_INTERCHANGE_PARTS: Parts = (
    lambda line: f"{line['original']}-{line['desired']}",
    lambda line: str(line["component"]),
    lambda line: str(line["technique"]),
    lambda line: f"strength-{line['strength']:g}",
)
_LENS_PARTS: Parts = (
    lambda line: str(line.get("concept", "")),
    lambda line: str(line["lens"]),
    lambda line: str(line.get("reading", "")),
    lambda line: str(line["component"]),
)
_SIMILARITY_PARTS: Parts = (lambda line: str(line["concept"]), lambda line: str(line["component"]))


def layer_metrics(summary: pd.DataFrame) -> Curves:
    """Metrics by layer, and summary values, of any task's summary. Missing values are left out.

    Every metric comes with the ends of its interval, ``<metric>_low`` and ``<metric>_high``. Where one job holds
    several concepts, pairs, lenses, …, keys begin with what tells these apart: ``guitar-piano/effectiveness``.
    """
    task = schema_of(summary).task
    return {"interchange": _interchange, "self_similarity": _similarity}.get(task, _lens)(summary)


def _interchange(summary: pd.DataFrame) -> Curves:
    """Effects beside their controls.

    Keys are ``effectiveness``, ``effectiveness_low``, …, ``control/self/effectiveness``, …; where one job holds
    several pairs (or components, techniques, strengths), they begin with what tells these apart:
    ``guitar-piano/effectiveness``. Sets of layers are summary values, ``together/effectiveness``; so is the best
    single layer, ``best/layer``, ``best/effectiveness``. Missing values are left out.
    """
    effects, controls = beside_controls(summary), [control.name for control in controls_run(summary)]
    curves: dict[int, dict[str, float]] = {}
    values: dict[str, float] = {}
    best: dict[str, Line] = {}
    lines = lines_of(effects)
    prefix_of = _prefixes(lines, _INTERCHANGE_PARTS)
    for line in lines:
        prefix, layer = prefix_of(line), line["layer"]
        metrics = _metrics(line, schema_of(summary).metrics, controls)
        if not layer.isdecimal():
            values |= {f"{prefix}{layer}/{key}": value for key, value in metrics.items()}
            continue
        curves.setdefault(int(layer), {}).update({prefix + key: value for key, value in metrics.items()})
        if line["effectiveness"] > best.get(prefix, {}).get("effectiveness", -math.inf):
            best[prefix] = line
    for prefix, line in best.items():
        values[f"{prefix}best/layer"] = int(line["layer"])
        values[f"{prefix}best/above_controls"] = int(line["verdict"] == ABOVE)
        values |= {f"{prefix}best/{key}": line[key] for key in _BEST if not math.isnan(line[key])}
    return curves, values


def _metrics(line: Line, metrics: Sequence[str], controls: Sequence[str]) -> dict[str, float]:
    names = {metric + end: metric + end for metric in metrics for end in _ENDS}
    for control in controls:
        for metric in _CONTROL_METRICS:
            names |= {f"control/{control}/{metric}{end}": f"{control}_{metric}{end}" for end in _ENDS}
    found = {key: float(line[column]) for key, column in names.items()}
    return {key: value for key, value in found.items() if not math.isnan(value)} | {"n": float(line["n"])}


def _lens(summary: pd.DataFrame) -> Curves:
    """NDCG and its like by the layer that is read; the control under ``control/other/``."""
    return _by_layer(summary, _LENS_PARTS)


def _similarity(summary: pd.DataFrame) -> Curves:
    """``to_last/distance``, ``…/cosine``, ``…/cka`` of every layer and the last one; so for ``control/moved/``."""
    last = max(summary["other"], key=int)
    curves, _ = _by_layer(cast(pd.DataFrame, summary[summary["other"] == last]), _SIMILARITY_PARTS)
    return {layer: {_to_last(key): value for key, value in found.items()} for layer, found in curves.items()}, {}


def _to_last(key: str) -> str:
    prefix, _, metric = key.rpartition("/")
    return f"{prefix}/to_last/{metric}" if prefix else f"to_last/{metric}"


def _by_layer(summary: pd.DataFrame, parts: Parts) -> Curves:
    schema = schema_of(summary)
    lines = lines_of(summary)
    prefix_of, curves = _prefixes(lines, parts), {}
    for line in lines:
        control = "" if line["role"] == schema.roles[0] else f"control/{line['role']}/"
        found = {metric + end: float(line[metric + end]) for metric in schema.metrics for end in _ENDS}
        named = {f"{prefix_of(line)}{control}{key}": value for key, value in found.items() if not math.isnan(value)}
        curves.setdefault(int(line["layer"]), {}).update(named)
    return curves, {}


def _prefixes(lines: Sequence[Line], parts: Parts) -> Callable[[Line], str]:
    """From a line to the beginning of its keys: the parts in which the lines differ."""
    telling = [part for part in parts if len({part(line) for line in lines}) > 1]
    return lambda line: "".join(f"{part(line)}/" for part in telling)
