"""The table of forecasts: a line for each track, whose means are the scores."""

from mech_music.results.columns import INDEX, MODEL, OF_THE_RUN, TASK, Column, Comparison, Role, Schema
from mech_music.structure.forecast.scores import SCORES

HORIZON = Schema(
    "horizon",
    (
        Role("probe", "activations", "a probe of the hook's activations along the piece", "#d55e00", (), "o"),
        Role("shuffled", "shuffled labels", "the same probe of labels that changed places between tracks", "#bbbbbb"),
        Role(
            "position",
            "position and time",
            "when it is, in which section, and about which section of how many it is asked",
            "#56b4e9",
            (5, 2),
            "+",
            level=True,
        ),
        Role("prompt", "prompt", "the words of the prompt", "#009e73", (1, 1), "x", level=True),
        Role(
            "prompt_position",
            "prompt × position",
            "words, position, and each word in each section that is asked about: a form that is read off the prompt",
            "#009e73",
            (5, 2),
            "*",
            level=True,
        ),
        Role("acoustics", "acoustics", "what the last moments sound like", "#e69f00", (3, 1, 1, 1), "1", level=True),
        Role("random", "shuffled weights", "the same hook of the model with its weights shuffled", "#777777", (2, 1.5)),
        Role("local", "last moments alone", "the same hook where the model sees the last moments alone", "#0072b2"),
        Role(
            "local_position",
            "last moments + position",
            "the same hook where the model sees the last moments alone, and position and time, in one probe",
            "#0072b2",
            (5, 2),
        ),
    ),
    (
        TASK,
        MODEL,
        Column("role", "str", "", "probe, or a control"),
        Column("component", "str", "", "whose output is read; empty for controls without activations"),
        Column("layer", "str", "", "the layer that is read; empty for controls without activations"),
        Column("regime", "str", "", "how returns are announced: told, hinted, blind; empty for real music"),
        Column("horizon", "float64", "", "how much later"),
        Column("horizons_in", "str", "", "what horizons are counted in"),
        Column("pieces", "str", "", "where the pieces come from"),
        *OF_THE_RUN,
    ),
    (
        INDEX,
        Column("track", "str", "", "the track, whose pieces are in one fold"),
        Column("rows", "int64", "", "moments of the track"),
        Column("returns", "float64", "", "share of them that a return follows so much later"),
    ),
    SCORES,
    Comparison("auc", edit=("component", "layer")),
)
