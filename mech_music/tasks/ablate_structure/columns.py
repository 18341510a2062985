"""The table of what carries returns."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import INDEX, MODEL, OF_THE_RUN, REPEAT, TASK, Column, Comparison, Role, Schema

KINDS = ("returns", "exact", "transposed", "reorchestrated", "new", "decoy")
"""What tokens are of: returns of any kind, and each kind of section."""
ABLATE_STRUCTURE = Schema(
    "ablate_structure",
    (
        Role("found", "found", "what was found on other tracks", colour="#D55E00"),
        Role(
            "random",
            "random ones",
            "as many others, of the same layers as long as these have any left (features: that fire about as often)",
            colour="#777777",
            dash=(6, 2),
        ),
        Role(
            "local",
            "local heads",
            "as many others, that look at the last few positions most",
            colour="#0072B2",
            dash=(2, 2),
        ),
        Role("all", "all heads", "every head of every layer", colour="#009E73"),
        Role("unedited", "no edit", "the model as it is", colour="#000000"),
        Role("head", "single heads", "where each head looks; nothing is edited", colour="#999999"),
    ),
    (
        TASK,
        MODEL,
        Column("role", "str", "", "found, a control (random, local), all, unedited; head: a head's scores"),
        Column("measured", "str", "", "likelihood, generation, patching, or heads (their scores)"),
        Column("kind", "str", "", "what tokens are of: returns, exact, transposed, reorchestrated, new, decoy"),
        Column("pieces", "str", "", "the annotated pieces"),
        Column("candidates", "str", "", "what is edited: heads, features, direction"),
        Column("size", "int64", "", "how many at once"),
        Column("how", "str", "", "mean, zero, patch, or the factor that it is scaled by"),
        Column("layer", "str", "", "of a head's scores: its layer"),
        Column("head", "str", "", "of a head's scores: its number"),
        Column("half", "str", "", "the guidance half that is edited: cond, uncond, both"),
        Column("guidance", "float64", "", "of the distribution whose likelihood is told; 1: the conditional one"),
        *OF_THE_RUN,
    ),
    (
        INDEX,
        REPEAT,
        Column("piece", "int64", "", "number of the piece; `index` is that of its track"),
        Column("edited", "str", "", "the heads (or features) that are edited"),
    ),
    (
        Metric("delta", "nats a token", "what the edit costs: nats a token with it, less those without", "Δ nats"),
        Metric("nats", "nats a token", "−log p of a token"),
        Metric("difference", "nats a token", "the cost on returns less that on new sections of the same piece"),
        Metric(
            "restored",
            "",
            "the part of what the true earlier section is worth to a return that patching brings back; the whole is "
            "the mean over pieces",
            note="0: as with another section, 1: as with the true one",
        ),
        Metric("agreement", "", "how near what is written is to the section that should return", note="1: the same"),
        Metric("contrast", "", "that agreement less the mean agreement with other earlier sections"),
        Metric("lost", "", "agreement without the edit, less that with it"),
        Metric("surprise", "nats a token", "how much less likely what is written is to the unedited model"),
        Metric("source", "", "attention to the place that reads what the source has there", "attention to the source"),
        Metric("elsewhere", "", "control: attention to the same place of other earlier sections"),
        Metric("same_lag", "", "control: attention from new sections to as far back", "same lag"),
        Metric("aligned", "", "attention to the place where the source drew it, one before"),
        Metric("recent", "", "attention to the last few positions"),
        Metric("copying", "logits", "what a head adds to the source's token, less what it adds to another of its own"),
    ),
    Comparison("delta", edit=("size", "how"), also=("restored", "lost")),
)
