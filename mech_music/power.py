"""``python -m mech_music.power <folder> [effect=1.5]``: how many prompts and seeds a sweep needs, from a pilot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float64
from rich.console import Console
from rich.table import Table

from mech_music.base.errors import UserError
from mech_music.cli.explain import folder_and_values, run_verb
from mech_music.metrics.inference import POWER
from mech_music.metrics.intervals import mean_of_measured
from mech_music.metrics.power import power
from mech_music.results.columns import Schema
from mech_music.results.comparison import Axes, beside_controls, differences_of
from mech_music.results.sweep import TABLE
from mech_music.results.tables import conform, read_table, schema_of

_PROMPTS = (8, 16, 24, 32, 48, 64, 100)
_SEEDS = (1, 2, 3)
USAGE = """\
How often an effect would be marked above every control, over all sites of the table, with more prompts or seeds.

  python -m mech_music.power <folder>      the output folder of a run or of a sweep that has controls: the pilot

  effect=1.5               the effect over every control, in the units of the results (nats)
  prompts=8,16,32          numbers of prompts to try
  level=0.95               of the marks

What more seeds of each prompt would bring is told by a pilot with design.seeds=2 or more.
"""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    folder: Path
    effect: float = 1.5
    prompts: tuple[int, ...] = _PROMPTS
    level: float = 0.95


def parse(words: Sequence[str]) -> Wanted:
    """UserError for a word that cannot be read."""
    usage = "python -m mech_music.power <folder> [effect=1.5]"
    folder, values = folder_and_values(words, usage, ("effect", "prompts", "level"))
    try:
        effect, level = float(values.get("effect", 1.5)), float(values.get("level", 0.95))
        prompts = tuple(int(n) for n in values["prompts"].split(",")) if "prompts" in values else _PROMPTS
    except ValueError as error:
        raise UserError(f"{error}: effect and level are numbers, prompts whole numbers (prompts=8,16,32)") from None
    if not 0 < level < 1 or min(prompts) < 2 or not np.isfinite(effect):
        raise UserError("expected 0 < level < 1, prompts of 2 or more and a finite effect")
    return Wanted(folder, effect, prompts, level)


def pilot_differences(table: pd.DataFrame) -> list[Float64[np.ndarray, "site control prompt seed"]]:
    """Effect less control of each prompt and seed (draws of a control averaged), a group for each set of clips.

    UserError for a table without effects and controls.
    """
    table = conform(table)
    schema = schema_of(table)
    if schema.comparison is None:
        raise UserError(f"task={schema.task} compares no effects with controls")
    conditions = table.groupby(list(schema.axes), sort=False)
    values = {cast(Axes, axes): _by_seed(lines, schema) for axes, lines in conditions}
    groups = [
        {effect: controls for effect, controls in group.items() if any(controls)}
        for group in beside_controls(schema, schema.comparison, values)
    ]
    found = [_stacked(group, values) for group in groups if group]
    if not found:
        raise UserError("these results have no controls: run the pilot with them")
    return found


def _by_seed(lines: pd.DataFrame, schema: Schema) -> Float64[np.ndarray, "prompt seed"]:
    assert schema.comparison is not None
    (n_seeds,) = set(lines["seeds"].tolist())
    index, repeat = lines["index"].to_numpy(), lines["repeat"].to_numpy()
    draws = max(1, (int(repeat.max()) + 1) // n_seeds)
    found = np.full((max(*lines["prompts"].tolist(), int(index.max()) + 1), n_seeds, draws), np.nan)
    values = lines[schema.comparison.metric].where(~lines["failed"]).to_numpy(dtype=float)
    found[index, repeat // draws, repeat % draws] = values
    return mean_of_measured(found, axis=2)


def _stacked(
    group: Mapping[Axes, Sequence[Axes | None]], values: Mapping[Axes, np.ndarray]
) -> Float64[np.ndarray, "site control prompt seed"]:
    n_seeds = values[next(iter(group))].shape[1]
    return np.stack([differences_of(group, values, seed) for seed in range(n_seeds)], axis=3)


def table_of(wanted: Wanted, groups: Sequence[Float64[np.ndarray, "site control prompt seed"]]) -> Table:
    """A line for each number of prompts, a column for each number of seeds."""
    ordered = sorted(groups, key=lambda group: -group.shape[0])
    seeds, sites = (_SEEDS if ordered[0].shape[3] > 1 else (1,)), sum(group.shape[0] for group in groups)
    shown = Table(title=f"share of sweeps that would mark {wanted.effect:+g} at one of {sites} sites")
    shown.add_column("prompts", justify="right")
    for n in seeds:
        shown.add_column(f"{n} seed{'s' if n > 1 else ''}", justify="right")
    for n in wanted.prompts:
        cells = [power(ordered, wanted.effect, n, k, wanted.level, seed=0) for k in seeds]
        shown.add_row(str(n), *(f"{cell:.2f}" for cell in cells), style="bold" if max(cells) >= POWER else None)
    return shown


def main(words: Sequence[str] | None = None) -> None:
    """Print the table. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _print)


def _print(words: Sequence[str], console: Console) -> None:
    wanted = parse(words)
    if not wanted.folder.is_dir():
        raise UserError(f"no folder '{wanted.folder}': name the output folder of a run or of a sweep")
    groups = pilot_differences(read_table(wanted.folder / TABLE))
    console.print(table_of(wanted, groups))
    sites, _, prompts, seeds = max(groups, key=lambda group: group.shape[0]).shape
    console.print(f"drawn from a pilot of {sites} sites, {prompts} prompts, {seeds} clips of each", style="dim")


if __name__ == "__main__":
    main()
