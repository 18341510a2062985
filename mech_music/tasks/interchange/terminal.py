"""An interchange: every effect with its interval and its controls beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from mech_music.results.columns import AXES
from mech_music.tasks.interchange.controls import ABOVE, BELOW, beside_controls, blocks_of, controls_run

_MARKS = {ABOVE: "▲", BELOW: "▼"}
_BLOCK = [axis for axis in AXES if axis not in ("role", "layer")]
_PAIR_FIRST = ["model", "original", "desired", "component", "technique", "strength"]
_OTHERS = [axis for axis in _BLOCK if axis not in ("original", "desired", "component", "technique")]
_WIDE, _ROOMY = 100, 112
Line: TypeAlias = Mapping[str, Any]


def effects_table(summary: pd.DataFrame, width: int = 100, most: int = 8) -> Table:
    """Every layer's effect, one block per pair, component and technique.

    More than ``most`` blocks are shown by the best layer of each instead. ``width``: that of the terminal;
    below 100 columns the parts of the effectiveness, the ideal precision and the best layers' controls go.
    """
    effects = beside_controls(summary).sort_values(_PAIR_FIRST, kind="stable")
    controls = controls_run(summary)
    blocks = blocks_of(effects, _BLOCK)
    outer = Table.grid()
    if not blocks:
        outer.add_row("No interventions: the table holds controls only.")
    elif len(blocks) > most:
        outer.add_row(_best_layers(blocks, _varying(effects), controls, width))
    else:
        for place, block in enumerate(blocks):
            if place:
                outer.add_row("")
            outer.add_row(_block(block, _varying(effects), controls, width))
    if blocks:
        outer.add_row(Text(_explanation(effects, controls, best=len(blocks) > most), style="dim"))
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
    right = 1 if width >= _ROOMY else 0
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, right, 0, 0), **options)


def _block(block: list[Line], varying: list[str], controls: list[str], width: int) -> Table:
    """One pair, component and technique: a line per layer, the noise floor below."""
    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    title, caption = _title(block[0], varying), _floor(block, controls)
    table = _empty(width, title=title, title_style="bold", caption=caption, caption_style="cyan", **left)
    table.add_column("layer", no_wrap=True)
    lines = [_numbers(line, controls, width >= _WIDE) for line in block]
    for name in lines[0]:
        table.add_column(name, justify="right", no_wrap=True, style="cyan" if name in controls else None)
    for line, numbers in zip(block, lines, strict=True):
        table.add_row(line["layer"], *numbers.values(), style=_style(line))
    return table


def _numbers(line: Line, controls: list[str], wide: bool) -> dict[str, str]:
    """The cells of one layer, by column heading."""
    parts = {part: _signed(line[f"effectiveness_{part}"]) for part in ("original", "desired")}
    sites = {name: _spread(line, f"{name}_effectiveness") for name in controls if name != "noise"}
    return {
        "effectiveness": _effect(line),
        **(parts if wide else {}),
        "precision": _signed(line["precision"]),
        **({"ideal": _signed(line["ideal_precision"])} if wide else {}),
        "kept": _share(line["kept"]),
        "flipped": _share(line["flipped"]),
        **sites,
        "n": str(line["n"]),
    }


def _best_layers(blocks: list[list[Line]], varying: list[str], controls: list[str], width: int) -> Table:
    """One line per block: its most effective single layer; sets of layers on lines of their own."""
    table = _empty(width)
    table.add_column("pair", overflow="fold")
    for name in ("part", "technique", *varying, "layer"):
        table.add_column(name, no_wrap=True)
    shown = ["effectiveness", "precision", "kept", "flipped"]
    for name in shown + (["highest control"] if controls and width >= _WIDE else []):
        table.add_column(name, justify="right", no_wrap=True, style="cyan" if "control" in name else None)
    for line in (line for block in blocks for line in _best(block)):
        numbers = _numbers(line, controls, wide=False)
        cells = [numbers[name] for name in shown]
        cells += [_highest(line, controls)] if controls and width >= _WIDE else []
        others = [str(line[axis]) for axis in varying]
        names = [_pair(line), line["component"], line["technique"], *others, line["layer"]]
        table.add_row(*names, *cells, style=_style(line))
    return table


def _best(block: list[Line]) -> Iterator[Line]:
    measured = [line for line in block if line["layer"].isdecimal() and not math.isnan(line["effectiveness"])]
    if measured:
        yield max(measured, key=lambda line: line["effectiveness"])
    yield from (line for line in block if not line["layer"].isdecimal())


def _highest(line: Line, controls: list[str]) -> str:
    means = {name: line[f"{name}_effectiveness"] for name in controls}
    present = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    if not present:
        return "–"
    name = max(present, key=present.__getitem__)
    return f"{name} {_spread(line, f'{name}_effectiveness')}"


def _style(line: Line) -> str | None:
    return "bold" if line["verdict"] == ABOVE else None


def _effect(line: Line) -> str:
    return f"{_spread(line, 'effectiveness')} {_MARKS.get(line['verdict'], ' ')}"


def _spread(line: Line, metric: str) -> str:
    """``mean ±half the width of the interval``; a dash where there is nothing."""
    mean, low, high = (line[metric + end] for end in ("", "_low", "_high"))
    if math.isnan(mean):
        return "–"
    return _signed(mean) + (f" ±{(high - low) / 2:.2f}" if not math.isnan(low) else "")


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def _floor(block: list[Line], controls: list[str]) -> str | None:
    """What holds for a whole block: the noise floor, what is kept without an edit, failed clips."""
    line, failed, words = block[0], sum(line["failed"] for line in block), []
    if "noise" in controls and not math.isnan(line["noise_effectiveness"]):
        words.append(f"noise (no edit, another seed) {_spread(line, 'noise_effectiveness')}")
    if not math.isnan(line["kept_before"]):
        words.append(f"kept without an edit {_share(line['kept_before'])}")
    if failed:
        words.append(f"{failed} clips failed")
    return " · ".join(words) or None


def _explanation(effects: pd.DataFrame, controls: list[str], best: bool) -> str:
    level = f"{100 * effects['level'].iloc[0]:g} %"
    text = f"Mean ± half of the {level} interval over prompts; effectiveness and precision in nats."
    if controls:
        text += f" ▲ above, ▼ below the intervals of all controls ({', '.join(controls)})."
    if best:
        text += " A single layer shown is the best of its block, chosen on the same prompts: a little flattered."
    return text
