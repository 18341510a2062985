"""An interchange: every effect with its interval and its controls beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.metrics.inference import POWER
from mech_music.metrics.metric import Metric
from mech_music.results.columns import Comparison, Role
from mech_music.results.tables import ABOVE, BELOW, EQUAL, Line, blocks_of, lines_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.interchange.columns import AXES, INTERCHANGE
from mech_music.tasks.interchange.controls import beside_controls, controls_run, extra_metrics

_MARKS = {ABOVE: "▲", BELOW: "▼", EQUAL: "≈"}
_BLOCK = [axis for axis in AXES if axis not in ("role", "layer")]
_PAIR_FIRST = ["model", "original", "desired", "component", "technique", "strength"]
_EDIT = (INTERCHANGE.comparison or Comparison("")).edit
_CHOSEN_AMONG = [axis for axis in AXES if axis not in ("role", *_EDIT)]
_CHOSEN_BY = [axis for axis in _EDIT if axis not in ("component", "layer")]
_OTHERS = [axis for axis in _BLOCK if axis not in ("original", "desired", "component", "technique")]
_MOST_CHOSEN = 6
_WIDE, _ROOMY = 100, 112
_WIDEST = 160  # and every control, not only the margin over the highest


class _Told(NamedTuple):
    """What stands beside every effect, and how wide the terminal is."""

    controls: list[Role]
    extra: list[Metric]
    width: int

    @property
    def wide(self) -> bool:
        return self.width >= _WIDE

    @property
    def widest(self) -> bool:
        """With room for every control as well."""
        return self.width >= _WIDEST and bool(self.controls)


def effects_table(summary: pd.DataFrame, width: int = 100, most: int = 8) -> Table:
    """Every layer's effect, one block per pair, component and technique.

    More than ``most`` blocks are shown by the best layer of each instead. ``width``: that of the terminal;
    below 160 columns every control but the highest goes, below 100 the parts of the effectiveness, the ideal precision
    and the best layers' margins.
    """
    effects = beside_controls(summary).sort_values(_PAIR_FIRST, kind="stable")
    told = _Told(controls_run(summary), extra_metrics(summary), width)
    blocks = blocks_of(effects, _BLOCK)
    outer = Table.grid()
    if not blocks:
        outer.add_row("No interventions: the table holds controls only.")
    elif len(blocks) > most:
        outer.add_row(_best_layers(blocks, _varying(effects), told))
    else:
        for place, block in enumerate(blocks):
            if place:
                outer.add_row("")
            outer.add_row(_block(block, _varying(effects), told))
    for words in _chosen(effects):
        outer.add_row(Text(words, style="cyan"))
    if blocks:
        outer.add_row(Text(_explanation(effects, told, best=len(blocks) > most), style="dim"))
    return outer


def _varying(effects: pd.DataFrame) -> list[str]:
    """The axes beyond pair, component and technique in which blocks differ."""
    return [axis for axis in _OTHERS if len(set(effects[axis])) > 1]


def _title(line: Line, varying: list[str]) -> str:
    others = [f"{axis} {line[axis]}" for axis in varying if axis != "model"]
    return " · ".join([_pair(line), line["component"], line["technique"], line["model"], *others])


def _pair(line: Line) -> str:
    return f"{line['original']} → {line['desired']}"


def _empty(width: int, **options: Any) -> Table:
    return empty_table(padding=(0, 1 if width >= _ROOMY else 0, 0, 0), **options)


def _block(block: list[Line], varying: list[str], told: _Told) -> Table:
    """One pair, component and technique: a line per layer, the noise floor below."""
    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    title, caption = _title(block[0], varying), _floor(block, told.controls)
    table = _empty(told.width, title=title, title_style="bold", caption=caption, caption_style="cyan", **left)
    table.add_column("layer", no_wrap=True)
    lines = [_numbers(line, told, told.wide) for line in block]
    beside = {control.name for control in told.controls}
    for name in lines[0]:
        table.add_column(name, justify="right", no_wrap=True, style="cyan" if name in beside else None)
    for line, numbers in zip(block, lines, strict=True):
        table.add_row(line["layer"], *numbers.values(), style=_style(line))
    return table


def _numbers(line: Line, told: _Told, wide: bool) -> dict[str, str]:
    """The cells of one layer, by column heading."""
    parts = {part: number(line[f"effectiveness_{part}"], "+") for part in ("original", "desired")}
    if told.controls:
        parts["desired"] += f" {_MARKS[ABOVE] if line['p_above_effectiveness_desired'] <= _chance(line) else ' '}"
    sites = {one.name: spread(line, f"{one.name}_effectiveness", "+") for one in told.controls if not one.level}
    return {
        "effectiveness": _effect(line),
        **(parts if wide else {}),
        "precision": number(line["precision"], "+"),
        **({"ideal": number(line["ideal_precision"], "+")} if wide and told.width >= _ROOMY else {}),
        "kept": _share(line["kept"]),
        "flipped": _share(line["flipped"]),
        **{metric.word or metric.name: number(line[metric.name], "") for metric in told.extra},
        **(sites if told.widest else {}),
        **({"margin": _margin(line)} if told.controls else {}),
        "n": str(line["n"]),
    }


def _best_layers(blocks: list[list[Line]], varying: list[str], told: _Told) -> Table:
    """One line per block: its most effective single layer; sets of layers on lines of their own."""
    table = _empty(told.width)
    margins = bool(told.controls) and told.wide
    table.add_column("pair", overflow="fold")
    for name in ("part", "technique", *varying, "layer"):
        table.add_column(name, no_wrap=True)
    shown = ["effectiveness", "precision", "kept", "flipped", *(metric.word or metric.name for metric in told.extra)]
    for name in shown + (["margin"] if margins else []):
        table.add_column(name, justify="right", no_wrap=True, style="cyan" if name == "margin" else None)
    for line in (line for block in blocks for line in _best(block)):
        numbers = _numbers(line, told, wide=False)
        cells = [numbers[name] for name in shown]
        cells += [_margin(line)] if margins else []
        others = [str(line[axis]) for axis in varying]
        names = [_pair(line), line["component"], line["technique"], *others, line["layer"]]
        table.add_row(*names, *cells, style=_style(line))
    return table


def _best(block: list[Line]) -> Iterator[Line]:
    measured = [line for line in block if line["layer"].isdecimal() and not math.isnan(line["effectiveness"])]
    if measured:
        yield max(measured, key=lambda line: line["effectiveness"])
    yield from (line for line in block if not line["layer"].isdecimal())


def _margin(line: Line) -> str:
    return f"{spread(line, 'margin', '+')} ({line['over']})" if line.get("over") else "–"


def _style(line: Line) -> str | None:
    return "bold" if line["verdict"] == ABOVE else None


def _chance(line: Line) -> float:
    return 1.0 - line["level"] + 1e-12


def _effect(line: Line) -> str:
    return f"{spread(line, 'effectiveness', '+')} {_MARKS.get(line['verdict'], ' ')}"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def _floor(block: list[Line], controls: Sequence[Role]) -> str | None:
    """What holds for a whole block: controls without a layer, what is kept without an edit, failed clips."""
    line, failed, words = block[0], sum(line["failed"] for line in block), []
    for name in (control.name for control in controls if control.level):
        if not math.isnan(line[f"{name}_effectiveness"]):
            words.append(f"{name} (no edit, another seed) {spread(line, f'{name}_effectiveness', '+')}")
    if not math.isnan(line["kept_before"]):
        words.append(f"kept without an edit {_share(line['kept_before'])}")
    if told := [line["reliability"] for line in block if not math.isnan(line["reliability"])]:
        ends = dict.fromkeys((_share(min(told)), _share(max(told))))
        words.append(f"of the mean shift the same in every context {' to '.join(ends)}")
    if failed:
        words.append(f"{failed} clips failed")
    return " · ".join(words) or None


def _explanation(effects: pd.DataFrame, told: _Told, best: bool) -> str:
    level = f"{100 * effects['level'].iloc[0]:g} %"
    measures = [INTERCHANGE.metric(name) for name in ("effectiveness", "precision")]
    words = " and ".join(f"{measure.name} ({measure.also})" for measure in measures)
    text = f"Mean ± half of the {level} interval over prompts; {words} in nats."
    text += "".join(f" {metric.title}: {metric.meaning}." for metric in told.extra)
    if told.controls:
        names = ", ".join(control.name for control in told.controls)
        text += (
            f" ▲ above, ▼ below every control ({names}), prompt by prompt: p ≤ {1 - effects['level'].iloc[0]:.2g} over "
            "all sites of the table; behind desired, that part alone."
        )
        text += f" ≈ within {effects['equivalence'].iloc[0]:g} nats of every control, as far as intervals tell."
        told_of = [line["detectable"] for line in lines_of(effects) if not math.isnan(line["detectable"])]
        if told_of:
            detectable = float(np.median(told_of))
            text += f" {detectable:+.1f} nats over every control at one site is marked in {POWER:.0%} of such tables."
        if not best or told.wide:
            text += " margin: effectiveness less that of the highest control (in brackets), prompt by prompt."
    if best:
        text += " A single layer shown is the best of its block, chosen on the same prompts: a little flattered."
    return text


def _chosen(effects: pd.DataFrame) -> Iterator[str]:
    """For each pair with several sites: the one that most folds choose, and what the chosen do on the other prompts."""
    pairs = blocks_of(effects.dropna(subset=["selected_margin"]), _CHOSEN_AMONG)
    for lines in pairs if len(pairs) <= _MOST_CHOSEN else []:
        best = max(lines, key=lambda line: line["chosen"])
        others = [axis for axis in _CHOSEN_BY if len({line[axis] for line in lines}) > 1]
        site = ", ".join([f"{best['component']} {best['layer']}", *(f"{axis} {best[axis]}" for axis in others)])
        yield (
            f"{_pair(best)}, best site as other prompts choose it: {site} in {best['chosen']:.0%} of choices; where "
            f"they did not choose, the chosen are {spread(best, 'selected_margin', '+')} nats above every control"
        )
