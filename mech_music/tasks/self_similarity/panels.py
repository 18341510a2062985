"""What self-similarity logs to W&B, and the panels that show it."""

from __future__ import annotations

from typing import cast

import pandas as pd

from mech_music.dashboard.panels import Panel, Section, spread
from mech_music.results.columns import Schema
from mech_music.tracking.curves import Curves, curves_by_axis


def curves(summary: pd.DataFrame) -> Curves:
    """``to_last/distance``, ``…/cosine``, ``…/cka`` of every layer and the last one; so for ``control/moved/``."""
    last = max(summary["other"], key=int)
    found = curves_by_axis(cast(pd.DataFrame, summary[summary["other"] == last]), ("concept", "component"))
    return Curves(history={at: {_to_last(key): one for key, one in own.items()} for at, own in found.history.items()})


def _to_last(key: str) -> str:
    prefix, slash, metric = key.rpartition("/")
    return f"{prefix}{slash}to_last/{metric}"


def panels(schema: Schema) -> tuple[Section, ...]:
    """Each measure of likeness to the last layer."""
    own = tuple(
        Panel(name, "curves", spread(f"to_last/{name}"), (f"control/moved/to_last/{name}",)) for name in schema.metrics
    )
    return (Section("How alike layers are", "Each layer and the last; the control is half a clip later.", own),)
