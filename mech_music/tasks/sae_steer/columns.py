"""The table of steering with features."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import (
    CLASSIFIER,
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
from mech_music.tasks.sae.columns import SAE_COLUMNS

_OF_SAE = tuple(column for column in SAE_COLUMNS if column.name not in ("half", "seed"))
SAE_STEER = Schema(
    "sae_steer",
    (
        Role(
            "chosen",
            "feature chosen by its effect",
            "of the candidates, that which is heard and keeps the rest most often on other prompts",
            "#d55e00",
        ),
        Role("auroc", "feature of highest AUROC", "the feature that tells the desired concept best", "#0072b2", (5, 2)),
        Role("random", "random feature", "another feature for each prompt, at random, made as long", "#777777"),
        Role(
            "means", "difference of means", "the mean over the desired concept's clips less the original's", "#009e73"
        ),
        Role("unedited", "unedited", "the same prompt and seed without an edit", "#777777", (4, 2), level=True),
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("role", "str", "", "chosen, or what is set beside it"),
        POINT,
        Column("layer", "str", "", "the layer that is edited"),
        Column("strength", "float64", "", "α, in largest activations of the feature (of means, in their difference)"),
        Column("original", "str", "", "the concept in the prompt"),
        Column("desired", "str", "", "the concept that is aimed at"),
        Column("half", "str", "", "guidance half that is edited"),
        *_OF_SAE,
        Column("sae_seed", "int64", "", "seed of the SAE"),
        *OF_THE_RUN,
    ),
    (
        INDEX,
        PROMPT,
        Column("row", "str", "", "key of the edited clip in the store"),
        Column("baseline", "str", "", "key of the same prompt and seed without the edit"),
        Column("rank", "int64", "", "of the feature by AUROC, from 0; −1 where there is none"),
    ),
    (
        Metric("heard", "", "the desired concept is the most probable of its category", "desired heard", share=True),
        Metric("flipped", "", "the desired concept is more probable than the original one", "flipped", share=True),
        Metric("kept", "", "the prompt's word of the category that should stay is heard", "other kept", share=True),
        Metric("both", "", "the desired concept is heard and the other word is kept", "heard and kept", share=True),
        Metric("effect", "nats", "how much the log-odds of the desired concept grow", "effect on the desired"),
    ),
)
