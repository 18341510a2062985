"""The table of DecoderLens."""

from mech_music.metrics.measures import NDCG
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

DECODER_LENS = Schema(
    "decoder_lens",
    (
        Role("lens", "lens", "what a layer plays of a concept's prompts"),
        Role("other", "prompts without it", "the same layer's clips of prompts that name another concept"),
    ),
    (
        TASK,
        MODEL,
        CLASSIFIER,
        Column("lens", "str", "", "what the stream goes through before the final norm: decoder (nothing), tuned"),
        Column("reading", "str", "", "free: along the lens' own tokens; forced: along the full model's"),
        Column("role", "str", "", "lens, or its control other: the same layer's clips of prompts without the concept"),
        POINT,
        Column("layer", "str", "", "the layer whose output is read"),
        Column("concept", "str", "", "the concept that the prompt names, and whose labels are looked for"),
        *OF_THE_RUN,
    ),
    (
        INDEX,
        PROMPT,
        Column("row", "str", "", "key of the clip in the row store"),
        Column("baseline", "str", "", "key of the full model's clip of the same prompt and seed"),
    ),
    (
        NDCG,
        Metric("ndcg_full", "", "the same in the full model's clip", "NDCG, full model"),
        Metric("p", "", "probability of the concept's first label", "probability"),
        Metric("heard", "", "1 if no other word of the concept's category is more probable, else 0"),
        Metric("agreement", "", "share of tokens that are the full model's"),
    ),
)
