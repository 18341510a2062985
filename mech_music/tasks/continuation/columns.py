"""The table of continuation."""

from mech_music.results.columns import INDEX, MODEL, OF_THE_RUN, PROMPT, TASK, Column, Role, Schema
from mech_music.tasks.continuation.measures import CS, F1N, F1P, GS, LOSS, PRS

CONTINUATION = Schema(
    "continue",
    (
        Role("own", "continued", "the bar after the piece's own bars"),
        Role("swapped", "earlier sections of another piece", "the piece's last section, after those of another"),
        Role(
            "other",
            "the last bar of another piece",
            "the last bar of another piece of the same words, for the piece's own",
            dash=(6, 2),
        ),
    ),
    (
        TASK,
        MODEL,
        Column("role", "str", "", "own, or a control: swapped, other"),
        Column(
            "kind",
            "str",
            "",
            "the last section: new, decoy, exact or transposed (returns); of a corpus return, new, unlabelled",
        ),
        Column("attention", "str", "", "the model's attention"),
        Column("tokens", "str", "", "the model's tokens: note, event"),
        Column("form", "str", "", "how the form is announced: free (not at all), cued, told"),
        *OF_THE_RUN,
    ),
    (
        INDEX,
        PROMPT,
        Column("row", "str", "", "key of the clip in the row store; empty where nothing is generated"),
        Column("true_row", "str", "", "key of the clip that is all given, whose last bar's loss is read"),
    ),
    (F1N, F1P, GS, CS, PRS, LOSS),
)
