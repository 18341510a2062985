"""What tells the page of one task's results from another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.report.found import Found
from mech_music.report.words import Paragraph
from mech_music.results.tables import ABOVE, BELOW, schema_of

ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class View:
    """One task's page; its sections are ``tasks/<task>/page.html.jinja``.

    within: the axes that one chart shows at once; lines that agree on all others are a block.
    selectable: the axes asked for, the first first; one that follows from those before it is left out.
    more: columns of ``beside`` that no schema has.
    rank: the metric of which the greatest cells are kept and heard first; empty: in the table's order.
    of_controls: metrics shown of controls. told: metrics that stand beside a clip.
    heard: of a cell's prompts, which are heard: first, strongest, weakest; none for a task without clips.
    labels: the axes whose concept's labels are marked among what the classifier hears, and by which word.
    sections: the page's parts by id, as its table of contents names them.
    beside: from a summary to a line a cell, with its controls and their ``verdict``.
    """

    kind: str
    within: tuple[str, ...]
    selectable: tuple[str, ...]
    rank: str
    of_controls: tuple[str, ...]
    beside: Callable[[pd.DataFrame], pd.DataFrame]
    title: Callable[[Found], str]
    question: Callable[[Found], str]
    methods: Callable[[Found], list[Paragraph]]
    words: Mapping[str, Any]
    sections: Mapping[str, str]
    scripts: tuple[str, ...]
    more: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None


def beside_roles(summary: pd.DataFrame, decides: str = "") -> pd.DataFrame:
    """The lines of a schema's first role, joined to those of the other roles with the same axes.

    Adds ``<role>_<metric>`` with its ends, and ``verdict``: 1 if the interval of the metric ``decides`` lies above
    those of all other roles, −1 if below, else 0.
    """
    schema = schema_of(summary)
    first, *others = schema.roles
    keys = [axis for axis in schema.axes if axis != "role"]
    effects = cast(pd.DataFrame, summary[summary["role"] == first])
    for role in others:
        renamed = {metric + end: f"{role}_{metric}{end}" for metric in schema.metrics for end in ENDS}
        lines = cast(pd.DataFrame, summary[summary["role"] == role]).rename(columns=renamed)
        effects = effects.merge(lines[[*keys, *renamed.values()]], how="left", on=keys)
    return effects.assign(verdict=_verdicts(effects, decides, others)).reset_index(drop=True)


def _verdicts(effects: pd.DataFrame, decides: str, roles: list[str]) -> np.ndarray:
    if not decides or not roles:
        return np.zeros(len(effects), int)
    low, high = (effects[f"{decides}_{end}"].to_numpy()[:, None] for end in ("low", "high"))
    lows, highs = (effects[[f"{role}_{decides}_{end}" for role in roles]].to_numpy() for end in ("low", "high"))
    above, below = (low > highs).all(axis=1), (high < lows).all(axis=1)
    return above.astype(int) * ABOVE + below.astype(int) * BELOW
