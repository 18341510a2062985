"""The table of erasing concepts."""

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

SAE_ERASE = Schema(
    "sae_erase",
    (
        Role("erased", "the concept's features", "those that tell the concept best, put to 0", "#d55e00", (), "o"),
        Role("random", "random features", "as many others that fire about as often, put to 0", "#777777"),
        UNEDITED,
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("role", "str", "", "erased, or what is set beside it"),
        Column("features", "int64", "", "how many features are put to 0"),
        POINT,
        Column("layer", "str", "", "the layer that is edited"),
        Column("concept", "str", "", "the concept in the prompt, which is erased"),
        Column("chance", "float64", "", "1 ÷ the concepts of its category, among which it is heard"),
        Column("half", "str", "", "guidance half that is edited"),
        *OF_SAE,
        *OF_THE_RUN,
    ),
    (
        INDEX,
        REPEAT,
        PROMPT,
        *EDITED_CLIP,
    ),
    (
        Metric("heard", "", "the concept is the most probable of its category", "concept heard", share=True),
        KEPT,
        SURPRISE,
    ),
    Comparison(
        "heard", edit=("features", "half"), pooled=("concept", "chance"), pooled_metrics=("heard", "kept", "surprise")
    ),
)
