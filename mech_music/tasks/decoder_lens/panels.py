"""What DecoderLens logs to W&B, and the panels that show it."""

from __future__ import annotations

import pandas as pd

from mech_music.dashboard.panels import Panel, Section, spread
from mech_music.results.columns import Schema
from mech_music.tracking.curves import Curves, curves_by_axis


def curves(summary: pd.DataFrame) -> Curves:
    """By layer; keys begin with the concept, where there are several."""
    return curves_by_axis(summary, ("concept", "lens", "reading", "component"))


def panels(_: Schema) -> tuple[Section, ...]:
    """The concept's rank beside the control and the full model; what is heard; agreement."""
    other = ("control/other/ndcg", "control/other/ndcg_high")
    own = (
        Panel("NDCG", "curves", (*spread("ndcg"), "ndcg_full"), other),
        Panel("heard above its like", "curves", spread("heard"), ("control/other/heard",)),
        Panel("agreement with the full model's tokens", "curves", spread("agreement")),
    )
    meaning = "A layer carries the concept where the lower end of NDCG (of the concept's labels) is above the control."
    return (Section("What layers play", f"{meaning} The control: the same layer, prompts without the concept.", own),)
