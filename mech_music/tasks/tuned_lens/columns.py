"""The table of the tuned lens' training."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import DURATION, INDEX, MODEL, POINT, PROMPT, PROMPT_SET, TASK, Column, Role, Schema

TUNED_LENS = Schema(
    "tuned_lens",
    (Role("lens", "lens", "a lens on clips held out of training"),),
    (
        TASK,
        MODEL,
        Column("lens", "str", "", "decoder (no training) or tuned"),
        Column("role", "str", "", "lens"),
        POINT,
        Column("layer", "str", "", "the layer whose output is read"),
        DURATION,
        Column("seed", "int64", "", "seed of the fit"),
        Column("prompts", "int64", "", "number of held-out clips"),
        PROMPT_SET,
    ),
    (INDEX, PROMPT),
    (
        Metric(
            "kl",
            "nats",
            "KL(final ‖ lens), mean over steps, guidance halves and codebooks",
            "KL(final ‖ lens)",
            note="each guidance half",
        ),
        Metric(
            "kl_guided",
            "nats",
            "the same of the guided distributions that tokens are sampled from",
            "KL(final ‖ lens)",
            note="after guidance",
        ),
        Metric(
            "agreement",
            "",
            "share of codebooks whose most probable token is the final one's",
            "same most\nprobable token",
        ),
    ),
)
