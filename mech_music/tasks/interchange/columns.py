"""The table of an interchange."""

from mech_music.metrics.measures import EFFECTIVENESS, FLIPPED, FLIPPED_PAIR, IDEAL_PRECISION, PRECISION
from mech_music.metrics.metric import Metric
from mech_music.results.columns import (
    CLASSIFIER,
    INDEX,
    MODEL,
    OF_THE_RUN,
    PROMPT,
    REPEAT,
    SEEDS,
    TASK,
    Column,
    Comparison,
    Role,
    Schema,
)
from mech_music.tasks.interchange.declared import load_control

INTERCHANGE = Schema(
    "interchange",
    (
        Role("technique", "technique", "the edit whose effect is measured"),
        *(load_control(name).role for name in ("self", "other", "random", "noise")),
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("technique", "str", "", "the edit, by the name of its config"),
        Column("role", "str", "", "technique, or one of the controls self, other, random, noise"),
        Column("component", "str", "", "the branch that was edited: sa, ca, mlp, resid; empty for noise"),
        Column("layer", "str", "", "its layer, a set such as 4+5+6 or 3:steer+5:ablate, or together; empty for noise"),
        Column("head", "str", "", "the head (or heads, 0+2) of its attention that was edited; empty for all of it"),
        Column("original", "str", "", "the concept that the prompt names"),
        Column("desired", "str", "", "the concept that should be heard instead"),
        Column("strength", "float64", "", "the factor on the edit's shift"),
        Column("frames", "str", "", "the autoregressive steps that were edited"),
        Column("half", "str", "", "the guidance half that was edited: cond, uncond, both"),
        Column("history", "str", "", "the tokens along which means were recorded: own, shared"),
        Column("design", "str", "", "which prompts were edited, and over which prompts means were taken"),
        SEEDS,
        *OF_THE_RUN,
    ),
    (
        INDEX,
        REPEAT,
        PROMPT,
        Column("row", "str", "", "key of the edited clip in the row store"),
        Column("baseline", "str", "", "key of the same prompt and seed without the edit"),
    ),
    (
        EFFECTIVENESS,
        Metric("effectiveness_original", "nats", "the part of it from hearing less of the original"),
        Metric("effectiveness_desired", "nats", "the part of it from hearing more of the desired"),
        PRECISION,
        IDEAL_PRECISION,
        FLIPPED,
        FLIPPED_PAIR,
        Metric(
            "kept", "", "1 if the word of the category not edited is still heard; none across categories", share=True
        ),
        Metric("kept_before", "", "the same in the clip without the edit", share=True),
        Metric("ndcg_original", "", "NDCG of the original concept's labels after the edit"),
        Metric("ndcg_desired", "", "NDCG of the desired concept's labels after the edit"),
        Metric("ndcg_original_before", "", "NDCG of the original concept's labels before"),
        Metric("ndcg_desired_before", "", "NDCG of the desired concept's labels before"),
        Metric("p_original_before", "", "probability of the original concept before"),
        Metric("p_desired_before", "", "probability of the desired concept before"),
        Metric("p_original", "", "probability of the original concept after the edit"),
        Metric("p_desired", "", "probability of the desired concept after the edit"),
        Metric(
            "reliability", "", "share of the mean shift's square that is the same in every context; not of controls"
        ),
    ),
    Comparison(
        EFFECTIVENESS.name,
        edit=("technique", "component", "layer", "head", "strength", "frames", "half", "history"),
        also=("effectiveness_desired",),
        dose="strength",
        pooled=("original", "desired"),
        pooled_metrics=("effectiveness", "precision"),
    ),
)
AXES, METRICS = INTERCHANGE.axes, INTERCHANGE.metrics
