"""The figure of attention by bars and by semitones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mech_music.results.canvas import Sheet

_SHOWN = 3  # heads beside the mean over all
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")


def draw(lags: pd.DataFrame, intervals: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Attention over even attention, against the lag in bars and the interval; the mean over heads and the heads whose
    attention 4, 8 and 12 bars back stands out most."""
    heads = [("all", -1), *lags.attrs["strongest"][:_SHOWN]]
    with Sheet(2, width=9.0, height=3.9, columns=2, share_x=False) as sheet:
        for axes, table, x in zip(sheet.axes, (lags, intervals), ("lag", "interval"), strict=True):
            for colour, (layer, head) in zip(_COLOURS, heads, strict=False):
                own = table[(table["layer"] == str(layer)) & (table["head"] == head)]
                label = "mean over heads" if head < 0 else f"head {layer}.{head}"
                at = np.asarray(own[x], float)
                axes.plot(at, own["relative"], color=colour, label=label, marker="o", markersize=3, linewidth=1.2)
                axes.fill_between(at, own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
            axes.axhline(1.0, color="black", linestyle=":", linewidth=0.9, label="control: even attention")
            axes.set_yscale("log", base=2)
        for lag in (4, 8, 12):
            sheet.axes[0].axvline(lag, color="#999999", linewidth=0.6)
        sheet.axes[0].set_xlabel("bars back")
        sheet.axes[1].set_xlabel("semitones that the attended note is below")
        sheet.axes[1].set_xticks(np.arange(-24, 25, 12))
        sheet.axes[0].set_ylabel("attention ÷ even attention")
        sheet.words(title, "Means over pieces that were not trained on, with 95 % intervals over them.")
        return sheet.save(folder, "lags")
