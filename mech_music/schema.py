"""The columns of the results table, as data: what each is called, its type, its unit and what it means.

The table is tidy: one line per intervention and prompt. The *axes* tell interventions apart; a summary has one
line per distinct axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a line is there for: the effect itself, or one of the controls shown beside it."""

    technique = "technique"
    self = "self"
    random = "random"
    noise = "noise"


CONTROLS = (Role.self, Role.random, Role.noise)


@dataclass(frozen=True)
class Column:
    """``dtype`` is a pandas type; ``unit`` is empty for names, counts and yes/no."""

    name: str
    dtype: str
    unit: str
    meaning: str


_AXES = (
    Column("task", "str", "", "the task that wrote the line"),
    Column("model", "str", "", "the model that made the clip"),
    Column("classifier", "str", "", "the classifier that listened to it"),
    Column("technique", "str", "", "the edit, by the name of its config"),
    Column("role", "str", "", "technique, or one of the controls self, random, noise"),
    Column("component", "str", "", "the branch that was edited: sa, ca, mlp, resid; empty for noise"),
    Column("layer", "str", "", "its layer, a set such as 4+5+6, or together; empty for noise"),
    Column("original", "str", "", "the concept that the prompt names"),
    Column("desired", "str", "", "the concept that should be heard instead"),
    Column("strength", "float64", "", "the factor on the edit's shift"),
    Column("frames", "str", "", "the autoregressive steps that were edited"),
    Column("half", "str", "", "the guidance half that was edited: cond, uncond, both"),
    Column("history", "str", "", "the tokens along which means were recorded: own, shared"),
    Column("duration", "float64", "s", "length of the clip"),
    Column("seed", "int64", "", "seed of the sampling noise"),
    Column("prompts", "int64", "", "number of prompts of the job"),
)
_CLIP = (
    Column("index", "int64", "", "number of the prompt, from 0"),
    Column("prompt", "str", "", "the prompt"),
    Column("row", "str", "", "key of the edited clip in the row store"),
    Column("baseline", "str", "", "key of the same prompt and seed without the edit"),
)
_METRICS = (
    Column("effectiveness", "float64", "nats", "how far the clip moved from original to desired (equation 1)"),
    Column("effectiveness_original", "float64", "nats", "the part of it from hearing less of the original"),
    Column("effectiveness_desired", "float64", "nats", "the part of it from hearing more of the desired"),
    Column("precision", "float64", "nats", "−KL(after ‖ before) over all labels: 0 if nothing else moved"),
    Column("ideal_precision", "float64", "nats", "the precision if only the two concepts traded probabilities"),
    Column("flipped", "float64", "", "1 if desired is more probable than original after the edit, else 0"),
    Column("kept", "float64", "", "1 if the word of the category not edited is still heard; missing across categories"),
    Column("kept_before", "float64", "", "the same in the clip without the edit"),
    Column("ndcg_original", "float64", "", "NDCG of the original concept's labels after the edit"),
    Column("ndcg_desired", "float64", "", "NDCG of the desired concept's labels after the edit"),
    Column("ndcg_original_before", "float64", "", "NDCG of the original concept's labels before"),
    Column("ndcg_desired_before", "float64", "", "NDCG of the desired concept's labels before"),
    Column("p_original_before", "float64", "", "probability of the original concept before"),
    Column("p_desired_before", "float64", "", "probability of the desired concept before"),
    Column("p_original", "float64", "", "probability of the original concept after the edit"),
    Column("p_desired", "float64", "", "probability of the desired concept after the edit"),
)
_STATE = (Column("failed", "bool", "", "the clip could not be made: all its metrics are missing (NaN)"),)

COLUMNS: tuple[Column, ...] = _AXES + _CLIP + _METRICS + _STATE
AXES: tuple[str, ...] = tuple(column.name for column in _AXES)
METRICS: tuple[str, ...] = tuple(column.name for column in _METRICS)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


def summary_columns() -> tuple[Column, ...]:
    """The columns of a summary: the axes, counts, and each metric's mean with the ends of its interval."""
    counts = (
        Column("n", "int64", "", "clips in the means"),
        Column("failed", "int64", "", "clips left out because they could not be made"),
        Column("level", "float64", "", "level of the intervals"),
        Column("resamples", "int64", "", "bootstrap resamples behind the intervals"),
    )
    spread = [
        Column(metric.name + end, "float64", metric.unit, metric.meaning + what)
        for metric in _METRICS
        for end, what in (("", ": mean"), ("_low", ": lower end"), ("_high", ": upper end"))
    ]
    return _AXES + counts + tuple(spread)


def layer_order(layer: str) -> tuple[int, int, str]:
    """Sorting key of a layer's name: none, single layers by number, sets by their first layer, ``together``."""
    if layer == "":
        return (0, 0, "")
    if layer.isdecimal():
        return (1, int(layer), "")
    first = layer.split("+")[0]
    return (2, int(first), layer) if first.isdecimal() else (3, 0, layer)
