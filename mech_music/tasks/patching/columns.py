"""The table of activation patching."""

from mech_music.metrics.measures import FLIPPED, PRECISION
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

SHARE = Metric(
    "share",
    "",
    "the part of the way from the run to the source, (patched − run) / (source − run) in log-odds; the whole way is "
    "the mean over the table's prompts",
    note="0: as the run, 1: as the source",
)
EFFECT = Metric(
    "effect",
    "nats",
    "how far the clip moved from the run's word to the source's: the difference of the two log-odds",
    also="log-odds",
    note="up: nearer to the source",
)
PATCHING = Schema(
    "patching",
    (
        Role("patch", "patch", "activations of the matched clip, whose prompt differs in one word"),
        Role(
            "unrelated",
            "unrelated clip",
            "Activations of another clip that has the run's own word (another prompt, another seed): the damage of "
            "foreign activations, without any new word.",
            dash=(6, 2),
        ),
        Role(
            "self",
            "itself",
            "The run's own activations, at all components (or heads) and layers at once: it must be the same clip.",
            dash=(2, 2),
            marker="+",
            level=True,
        ),
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("role", "str", "", "patch, or one of the controls unrelated, self"),
        Column("direction", "str", "", "denoise: a corrupted run gets clean activations; noise: a clean run corrupted"),
        Column("component", "str", "", "the branch whose output is patched (or the path's sender); empty for self"),
        Column("layer", "str", "", "its layer, a set such as 4+5+6, or together; empty for self"),
        Column("head", "str", "", "the head (or heads, 0+2) of its attention that is patched; empty for all of it"),
        Column("receiver", "str", "", "the path's receiver, such as mlp6; empty where the whole output is patched"),
        Column("original", "str", "", "the concept that clean prompts name"),
        Column("desired", "str", "", "the concept in its place in corrupted prompts"),
        Column("frames", "str", "", "the autoregressive steps that are patched; empty for self"),
        Column("half", "str", "", "the guidance half that is patched: cond, uncond, both"),
        SEEDS,
        *OF_THE_RUN,
    ),
    (
        INDEX,
        REPEAT,
        PROMPT,
        Column("row", "str", "", "key of the patched clip in the row store"),
        Column("baseline", "str", "", "key of the run without the patch"),
        Column("source", "str", "", "key of the matched clip"),
    ),
    (
        EFFECT,
        SHARE,
        Metric("gap", "nats", "the whole way, from the run to the matched clip"),
        Metric("effect_run", "nats", "the part of the effect from hearing less of the run's word"),
        Metric("effect_source", "nats", "the part of the effect from hearing more of the source's word"),
        PRECISION,
        FLIPPED,
    ),
    Comparison(EFFECT.name, edit=("component", "layer", "head", "receiver", "frames", "half")),
)
