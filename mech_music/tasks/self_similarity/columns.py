"""The table of self-similarity."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import (
    INDEX,
    MODEL,
    OF_THE_RUN,
    POINT,
    PROMPT,
    TASK,
    Column,
    Role,
    Schema,
)

SELF_SIMILARITY = Schema(
    "self_similarity",
    (
        Role("layers", "layers", "two layers at the same step"),
        Role("moved", "half a clip later", "the second layer half a clip later: what any two moments share"),
    ),
    (
        TASK,
        MODEL,
        Column("role", "str", "", "layers, or its control moved: the second layer half a clip later"),
        POINT,
        Column("layer", "str", "", "one layer"),
        Column("other", "str", "", "the layer that it is compared with"),
        Column("concept", "str", "", "the concept of the prompts"),
        Column("half", "str", "", "guidance half: cond, uncond, both"),
        *OF_THE_RUN,
    ),
    (INDEX, PROMPT),
    (
        Metric(
            "distance",
            "",
            "Euclidean distance, mean over steps (units of the residual stream)",
            "Euclidean distance",
        ),
        Metric(
            "distance_of_means",
            "",
            "Euclidean distance between the layers' means over steps, as the paper has it; of the control, between "
            "means over the two halves of a clip",
            "distance, time average first",
        ),
        Metric("cosine", "", "cosine of the two streams, mean over steps"),
        Metric("cka", "", "linear CKA over the steps of a clip, unbiased", "CKA (unbiased)"),
    ),
)
