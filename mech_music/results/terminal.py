"""Results as a table in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from mech_music.results.tables import schema_of
from mech_music.tasks.decoder_lens import terminal as lens
from mech_music.tasks.interchange import terminal as interchange


def terminal_table(summary: pd.DataFrame, width: int = 100) -> Table:
    """The summary of any task. ``width``: that of the terminal, in columns."""
    task = schema_of(summary).task
    if task == "interchange":
        return interchange.effects_table(summary, width)
    return {
        "decoder_lens": lens.concepts_table,
        "tuned_lens": lens.divergence_table,
        "self_similarity": lens.similarity_table,
    }[task](summary)
