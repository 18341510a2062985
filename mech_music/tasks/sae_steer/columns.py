"""The table of steering with features."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import (
    CLASSIFIER,
    INDEX,
    MODEL,
    OF_THE_RUN,
    POINT,
    PROMPT,
    REPEAT,
    TASK,
    Column,
    Comparison,
    Role,
    Schema,
)
from mech_music.tasks.sae.columns import EDITED_CLIP, KEPT, OF_SAE, SURPRISE, UNEDITED

SAE_STEER = Schema(
    "sae_steer",
    (
        Role(
            "chosen",
            "features chosen by their effect",
            "of the candidates, that with which the desired is heard and the rest kept most often on other prompts",
            "#d55e00",
            (),
            "o",
        ),
        Role("auroc", "feature of highest AUROC", "the feature that tells the desired concept best", "#0072b2", (5, 2)),
        Role("random", "random features", "as far at every step, along as many features drawn at random", "#777777"),
        Role(
            "means", "difference of means", "the mean over the desired concept's clips less the original's", "#009e73"
        ),
        UNEDITED,
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("role", "str", "", "chosen, or what is set beside it"),
        Column("strength", "float64", "", "α, in the unit of the way of steering; of means, in their difference"),
        POINT,
        Column("layer", "str", "", "the layer that is edited"),
        Column("steer", "str", "", "the way of steering: feature, features, swap"),
        Column("contrast", "float64", "", "how far the unconditional half goes the other way, of the conditional one"),
        Column("schedule", "str", "", "at which steps, and how strongly"),
        Column("original", "str", "", "the concept in the prompt"),
        Column("desired", "str", "", "the concept that is aimed at"),
        Column("half", "str", "", "guidance half that is edited"),
        *OF_SAE,
        *OF_THE_RUN,
    ),
    (
        INDEX,
        REPEAT,
        PROMPT,
        *EDITED_CLIP,
        Column("candidate", "int64", "", "rank of the feature by AUROC, or how many features; −1 where there is none"),
    ),
    (
        Metric("heard", "", "the desired concept is the most probable of its category", "desired heard", share=True),
        Metric("flipped", "", "the desired concept is more probable than the original one", "flipped", share=True),
        KEPT,
        Metric("both", "", "the desired concept is heard and the other word is kept", "heard and kept", share=True),
        Metric("effect", "nats", "how much the log-odds of the desired concept grow", "effect on the desired"),
        SURPRISE,
    ),
    Comparison(
        "both",
        edit=("steer", "contrast", "schedule", "strength", "half"),
        also=("heard",),
        dose="strength",
        pooled=("original", "desired"),
        pooled_metrics=("heard", "kept", "both", "surprise"),
    ),
)
