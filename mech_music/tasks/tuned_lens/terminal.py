"""The tuned lens in the terminal: both lenses' distance from the model's end, a line for each layer."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import blocks_of, layers_of
from mech_music.results.terminal import empty_table, spread
from mech_music.tasks.tuned_lens.columns import TUNED_LENS


def divergence_table(summary: pd.DataFrame) -> Table:
    """KL to the final distribution by layer, both lenses."""
    outer = Table.grid()
    for lines in blocks_of(summary, TUNED_LENS.axes_beside("lens", "layer")):
        title = f"KL(final ‖ lens), nats, on {lines[0]['n']} held-out clips · {lines[0]['model']}"
        outer.add_row(Text(title, style="bold"))
        table = empty_table()
        table.add_column("layer", no_wrap=True)
        for name in ("decoder", "tuned", "tuned ÷ decoder", "decoder, guided", "tuned, guided"):
            table.add_column(name, justify="right", no_wrap=True)
        at = {(line["layer"], line["lens"]): line for line in lines}
        for layer in layers_of(lines):
            plain, tuned = at[layer, "decoder"], at[layer, "tuned"]
            ratio = f"{tuned['kl'] / plain['kl']:.2f}"
            guided = [spread(line, "kl_guided") for line in (plain, tuned)]
            table.add_row(layer, spread(plain, "kl"), spread(tuned, "kl"), ratio, *guided)
        outer.add_row(table)
    level = f"{100 * summary['level'].iloc[0]:g} %"
    outer.add_row(Text(f"Mean ± half of the {level} interval over clips. guided: after guidance.", style="dim"))
    return outer
