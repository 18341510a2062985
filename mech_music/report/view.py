"""What a task declares of its page; `mech_music.report` draws any page from this alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import pandas as pd

from mech_music.results.columns import layer_order
from mech_music.results.tables import ABOVE, BELOW, schema_of

if TYPE_CHECKING:
    from mech_music.report.found import Found

Paragraph: TypeAlias = tuple[str, list[str]]
Decision: TypeAlias = tuple[str, bool | None, str]
"""What is decided, whether it holds (None: open), and the numbers behind it."""
ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Measure:
    """How a metric is shown.

    share: written as per cent. signed: written with its sign, colours to both sides of 0.
    limits: ends of its scale; None: those of the values. level: a metric drawn as a dotted line behind it.
    """

    share: bool = False
    signed: bool = False
    limits: tuple[float | None, float | None] = (None, None)
    palette: Literal["RdBu_r", "cividis", "viridis", "viridis_r"] = "cividis"
    level: str = ""


@dataclass(frozen=True)
class Chart:
    """Charts under one heading; ``word`` names them in the table of contents.

    kind: ``curves`` (``measures`` against the axis ``x``), ``scatter`` (the second measure against the first), or a
    function of the view's script, in its ``DRAW``.
    panels: an axis, of which each value has a chart with all measures; empty: each measure has a chart.
    lines: the axes of which each value has a line or a kind of point.
    keep: the cells that are drawn; None for all. optional: hidden where ``x`` takes one value only.
    """

    id: str
    heading: str
    word: str
    measures: tuple[str, ...]
    kind: str = "curves"
    x: str = "layer"
    panels: str = ""
    lines: tuple[str, ...] = ()
    note: str = ""
    optional: bool = False
    keep: Callable[[pd.DataFrame], pd.Series] | None = None


@dataclass(frozen=True)
class Heat:
    """The heat map's axes. ``turns``: columns become lines where they do not fit. ``mirrored``: it is symmetric.

    finer: the axes of which the first whose values differ takes the place of ``down``, in charts too.
    """

    across: str = "layer"
    down: str = ""
    finer: tuple[str, ...] = ()
    turns: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class Clips:
    """The clips of a cell: ``before`` is the baseline's, ``after`` the row's; in both, ``{axis}`` stands for its word.

    ends: of a cell's prompts, which are heard: first, strongest, median, weakest.
    told: metrics that stand beside a clip. same: said where both are one clip.
    labels: the axes whose concept's labels are marked among what the classifier hears, and by which word.
    """

    before: str = "Original"
    after: str = "Edited"
    ends: tuple[str, ...] = ("strongest", "median", "weakest")
    told: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    same: str = "Both are one clip."


@dataclass(frozen=True)
class View:
    """One task's page.

    site: names a cell; heading: the same in full; hover: what is added where a point is pointed at.
    effect: what the lines of the schema's first role are called, things: what a cell is, in the plural.
    rank: the metric of which the greatest cells are kept, heard and shown first; empty: in the table's order.
    outcome: a share of clips that is told beside the rank. price: metrics that say what an effect costs.
    measures: by metric; others are written as numbers. shown: the metrics of the heat map and of tables, in order.
    of_controls: metrics shown of controls.
    within: the axes that the heat map shows at once; lines that agree on all others are a block.
    selectable: the axes asked for, the first first; one that follows from those before it is left out.
    words, colours: of an axis' values. plain: axes whose values say all.
    more: columns of ``beside`` that no schema has.
    glance: the cells listed first; None: each block's best.
    beside: from a summary to a line a cell, with its controls and their ``verdict``.
    script: JavaScript for what cannot be declared. data: what it draws beside cells, as JSON (``DATA.more``).
    clips: None for a task without clips. verdict: what the whole table decides, told under the main result.
    """

    kind: str
    title: Callable[[Found], str]
    question: Callable[[Found], str]
    methods: Callable[[Found], list[Paragraph]]
    beside: Callable[[pd.DataFrame], pd.DataFrame]
    site: str
    shown: tuple[str, ...]
    heat: Heat
    charts: tuple[Chart, ...]
    heading: str = "{site}"
    hover: str = ""
    effect: str = "the effect"
    things: str = "cells"
    rank: str = ""
    outcome: str = ""
    price: tuple[str, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    of_controls: tuple[str, ...] = ()
    selectable: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    colours: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    glance: Callable[[pd.DataFrame], pd.Series] | None = None
    glance_note: str = ""
    heat_note: str = ""
    clips: Clips | None = None
    script: str = ""
    data: Callable[[Found], Any] | None = None
    verdict: Callable[[Found], list[Decision]] | None = None

    def fitted(self, effects: pd.DataFrame) -> View:
        """The view of these effects: with the finer axis down if they differ in it."""
        down = self.heat.down
        finer = next((axis for axis in self.heat.finer if len(set(effects[axis])) > 1), "")
        if not finer:
            return self

        def swapped(axes: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(finer if axis == down else axis for axis in axes)

        charts = [replace(c, lines=swapped(c.lines), panels=swapped((c.panels,))[0]) for c in self.charts]
        values = sorted(set(effects[finer]), key=layer_order)
        words = {**self.words, finer: {value: f"{finer} {value}" if value else f"all {finer}s" for value in values}}
        fine = {"site": f"{self.site}, {{{finer}}}", "selectable": (*self.selectable, down), "words": words}
        return replace(self, heat=replace(self.heat, down=finer), charts=tuple(charts), **fine)

    @property
    def within(self) -> tuple[str, str]:
        return self.heat.down, self.heat.across

    @property
    def sections(self) -> dict[str, str]:
        """The page's parts by id, as its table of contents names them."""
        clips = " and clips" if self.clips else ""
        return {"glance": "At a glance", "cells": f"Heat map{clips}"} | {one.id: one.word for one in self.charts}


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
