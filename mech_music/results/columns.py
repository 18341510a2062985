"""The columns of every task's results table, as data: what each is called, its type, its unit and what it means.

A table is tidy: one line per condition (an intervention, a layer that is read, …) and prompt. The *axes* tell
conditions apart; a summary has one line per distinct axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a line of an interchange is there for: the effect itself, or one of the controls shown beside it."""

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


_TASK = Column("task", "str", "", "the task that wrote the line")
_MODEL = Column("model", "str", "", "the model that made the clip")
_CLASSIFIER = Column("classifier", "str", "", "the classifier that listened to it")
_DURATION = Column("duration", "float64", "s", "length of the clip")
_SEED = Column("seed", "int64", "", "seed of the sampling noise")
_PROMPTS = Column("prompts", "int64", "", "number of prompts of the job")
_INDEX = Column("index", "int64", "", "number of the prompt, from 0")
_PROMPT = Column("prompt", "str", "", "the prompt")
_STATE = (Column("failed", "bool", "", "the clip could not be made: all its metrics are missing (NaN)"),)


@dataclass(frozen=True)
class Schema:
    """The table of one task. ``roles``: what its lines may be there for, the effect first."""

    task: str
    roles: tuple[str, ...]
    axis_columns: tuple[Column, ...]
    clip_columns: tuple[Column, ...]
    metric_columns: tuple[Column, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.axis_columns + self.clip_columns + self.metric_columns + _STATE

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.axis_columns)

    def axes_beside(self, *within: str) -> tuple[str, ...]:
        """The axes that tell apart what is shown apart; ``within``: those that one picture or table shows at once."""
        return tuple(name for name in self.axes if name not in ("task", "role", *within))

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.metric_columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def summary_columns(self) -> tuple[Column, ...]:
        """The columns of a summary: the axes, counts, and each metric's mean with the ends of its interval."""
        counts = (
            Column("n", "int64", "", "clips in the means"),
            Column("failed", "int64", "", "clips left out because they could not be made"),
            Column("level", "float64", "", "level of the intervals"),
            Column("resamples", "int64", "", "bootstrap resamples behind the intervals"),
        )
        spread = [
            Column(metric.name + end, "float64", metric.unit, metric.meaning + what)
            for metric in self.metric_columns
            for end, what in (("", ": mean"), ("_low", ": lower end"), ("_high", ": upper end"))
        ]
        return self.axis_columns + counts + tuple(spread)


INTERCHANGE = Schema(
    "interchange",
    tuple(role.value for role in Role),
    (
        _TASK,
        _MODEL,
        _CLASSIFIER,
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
        _DURATION,
        _SEED,
        _PROMPTS,
    ),
    (
        _INDEX,
        _PROMPT,
        Column("row", "str", "", "key of the edited clip in the row store"),
        Column("baseline", "str", "", "key of the same prompt and seed without the edit"),
    ),
    (
        Column("effectiveness", "float64", "nats", "how far the clip moved from original to desired (equation 1)"),
        Column("effectiveness_original", "float64", "nats", "the part of it from hearing less of the original"),
        Column("effectiveness_desired", "float64", "nats", "the part of it from hearing more of the desired"),
        Column("precision", "float64", "nats", "−KL(after ‖ before) over all labels: 0 if nothing else moved"),
        Column("ideal_precision", "float64", "nats", "the precision if only the two concepts traded probabilities"),
        Column("flipped", "float64", "", "1 if desired is more probable than original after the edit, else 0"),
        Column(
            "kept", "float64", "", "1 if the word of the category not edited is still heard; missing across categories"
        ),
        Column("kept_before", "float64", "", "the same in the clip without the edit"),
        Column("ndcg_original", "float64", "", "NDCG of the original concept's labels after the edit"),
        Column("ndcg_desired", "float64", "", "NDCG of the desired concept's labels after the edit"),
        Column("ndcg_original_before", "float64", "", "NDCG of the original concept's labels before"),
        Column("ndcg_desired_before", "float64", "", "NDCG of the desired concept's labels before"),
        Column("p_original_before", "float64", "", "probability of the original concept before"),
        Column("p_desired_before", "float64", "", "probability of the desired concept before"),
        Column("p_original", "float64", "", "probability of the original concept after the edit"),
        Column("p_desired", "float64", "", "probability of the desired concept after the edit"),
    ),
)
_POINT = Column("component", "str", "", "the point of the layer: after its sa, ca or mlp (resid: the same as mlp)")
_CONCEPT = Column("concept", "str", "", "the concept that the prompt names, and whose labels are looked for")
DECODER_LENS = Schema(
    "decoder_lens",
    ("lens", "other"),
    (
        _TASK,
        _MODEL,
        _CLASSIFIER,
        Column("lens", "str", "", "what the stream goes through before the final norm: decoder (nothing), tuned"),
        Column("reading", "str", "", "free: along the lens' own tokens; forced: along the full model's"),
        Column("role", "str", "", "lens, or its control other: the same layer's clips of prompts without the concept"),
        _POINT,
        Column("layer", "str", "", "the layer whose output is read"),
        _CONCEPT,
        _DURATION,
        _SEED,
        _PROMPTS,
    ),
    (
        _INDEX,
        _PROMPT,
        Column("row", "str", "", "key of the clip in the row store"),
        Column("baseline", "str", "", "key of the full model's clip of the same prompt and seed"),
    ),
    (
        Column("ndcg", "float64", "", "NDCG of the concept's labels"),
        Column("ndcg_full", "float64", "", "the same in the full model's clip"),
        Column("p", "float64", "", "probability of the concept's first label"),
        Column("heard", "float64", "", "1 if no other word of the concept's category is more probable, else 0"),
        Column("agreement", "float64", "", "share of tokens that are the full model's"),
    ),
)
TUNED_LENS = Schema(
    "tuned_lens",
    ("lens",),
    (
        _TASK,
        _MODEL,
        Column("lens", "str", "", "decoder (no training) or tuned"),
        Column("role", "str", "", "lens"),
        _POINT,
        Column("layer", "str", "", "the layer whose output is read"),
        _DURATION,
        Column("seed", "int64", "", "seed of the fit"),
        Column("prompts", "int64", "", "number of held-out clips"),
    ),
    (_INDEX, _PROMPT),
    (
        Column("kl", "float64", "nats", "KL(final ‖ lens), mean over steps, guidance halves and codebooks"),
        Column("kl_guided", "float64", "nats", "the same of the guided distributions that tokens are sampled from"),
        Column("agreement", "float64", "", "share of codebooks whose most probable token is the final one's"),
    ),
)
SELF_SIMILARITY = Schema(
    "self_similarity",
    ("layers", "moved"),
    (
        _TASK,
        _MODEL,
        Column("role", "str", "", "layers, or its control moved: the second layer half a clip later"),
        _POINT,
        Column("layer", "str", "", "one layer"),
        Column("other", "str", "", "the layer that it is compared with"),
        Column("concept", "str", "", "the concept of the prompts"),
        Column("half", "str", "", "guidance half: cond, uncond, both"),
        _DURATION,
        _SEED,
        _PROMPTS,
    ),
    (_INDEX, _PROMPT),
    (
        Column("distance", "float64", "", "Euclidean distance, mean over steps (units of the residual stream)"),
        Column("cosine", "float64", "", "cosine of the two streams, mean over steps"),
        Column("cka", "float64", "", "linear CKA over the steps of a clip, unbiased"),
    ),
)
SCHEMAS = {schema.task: schema for schema in (INTERCHANGE, DECODER_LENS, TUNED_LENS, SELF_SIMILARITY)}
AXES, METRICS = INTERCHANGE.axes, INTERCHANGE.metrics


def layer_order(layer: str) -> tuple[int, int, str]:
    """Sorting key of a layer's name: none, single layers by number, sets by their first layer, ``together``."""
    if layer == "":
        return (0, 0, "")
    if layer.isdecimal():
        return (1, int(layer), "")
    first = layer.split("+")[0]
    return (2, int(first), layer) if first.isdecimal() else (3, 0, layer)
