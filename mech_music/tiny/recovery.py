"""``python -m mech_music.tiny.recovery <folder>``: how often sweeps of a planted model mark its true site, and others.

The folder holds a sweep of components and layers of a planted model (``experiment=planted/layer3``). Smaller sweeps are
drawn from it, each with some of its prompts, and marked as a table of their own would be.

A pair of concepts has four kinds of sites, by where their words enter the model (`mech_music.tiny.planted`):

- ``entry``: cross-attention of that layer. All that the text says of them goes through it.
- ``shut``: cross-attention of any other layer. Nothing that the text says of them goes through it, by construction.
- ``before``: self-attention up to the entry and MLPs below it. Text has not come in yet; what they know of the concepts
  is from the music so far.
- ``after``: the rest. They may pass on what came in, so a mark is no error and no proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from jaxtyping import Bool, Float64
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from mech_music.base.errors import UserError
from mech_music.cli.explain import folder_and_values, run_verb
from mech_music.config.paths import conf_dir
from mech_music.metrics.inference import margins
from mech_music.prompts.declared import load_prompt_set
from mech_music.results.comparison import Axes, beside_controls, differences_of
from mech_music.results.sweep import TABLE
from mech_music.results.tables import conform, read_table, schema_of
from mech_music.tiny.config import CircuitConfig, TinyConfig, register

USAGE = """\
How often a sweep of a planted model would mark the site where the text enters, and any other.

  python -m mech_music.tiny.recovery <folder>      the output folder of experiment=planted/layer3 or planted/apart

  prompts=16               prompts of each sweep, drawn from those of the folder
  sweeps=200               how many are drawn
  seed=0                   of the drawing
"""
LEVEL = 0.95
KINDS = ("entry", "shut", "before", "after")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    folder: Path
    prompts: int = 16
    sweeps: int = 200
    seed: int = 0


def parse(words: Sequence[str]) -> Wanted:
    """UserError for a word that cannot be read."""
    usage = "python -m mech_music.tiny.recovery <folder>"
    folder, values = folder_and_values(words, usage, ("prompts", "sweeps", "seed"))
    if wrong := [f"{name}={value}" for name, value in values.items() if not value.isdecimal()]:
        raise UserError(f"{wrong[0]}: expected a whole number")
    return Wanted(folder, **{name: int(value) for name, value in values.items()})


def circuits() -> dict[str, CircuitConfig]:
    """The circuits of the bundled planted models, by the names of their models."""
    register()
    with initialize_config_dir(str(conf_dir() / "tiny"), version_base="1.3"):
        config: Any = OmegaConf.to_object(compose("train"))
    assert isinstance(config, TinyConfig)
    return {f"planted-{name}": circuit for name, circuit in config.planted.circuits.items()}


def entry_of(circuit: CircuitConfig, category: str) -> int:
    """The layer where words of a category enter."""
    (layer,) = {entry.layer for entry in circuit.entries if not entry.words or category in entry.words}
    return layer


def kind_of(component: str, layer: int, entry: int) -> str:
    """What a site is to concepts that enter at ``entry``: one of `KINDS`."""
    if component == "ca":
        return "entry" if layer == entry else "shut"
    return "before" if layer < entry or (component == "sa" and layer == entry) else "after"


def margins_of(table: pd.DataFrame) -> tuple[list[tuple[str, int]], Float64[np.ndarray, "site control prompt"]]:
    """The sites of one pair's table (component and layer), and effect less control on each prompt."""
    schema = schema_of(table)
    assert schema.comparison is not None
    conditions = conform(table).groupby(list(schema.axes), sort=False)
    values = {cast(Axes, axes): _by_prompt(lines, schema.comparison.metric) for axes, lines in conditions}
    (group,) = beside_controls(schema, schema.comparison, values)
    component, layer = (schema.axes.index(name) for name in ("component", "layer"))
    sites = [(str(axes[component]), int(axes[layer])) for axes in group]
    return sites, differences_of(group, values, 0)


def _by_prompt(lines: pd.DataFrame, metric: str) -> Float64[np.ndarray, "prompt 1"]:
    """The means of each prompt's clips."""
    means: Any = lines.groupby("index")[[metric]].mean()
    return means.to_numpy()


def marked(differences: Float64[np.ndarray, "site control prompt"], wanted: Wanted) -> Bool[np.ndarray, "sweep site"]:
    """Which sites each drawn sweep marks as above all their controls. UserError if there are fewer prompts."""
    n = differences.shape[2]
    if not 2 <= wanted.prompts <= n:
        raise UserError(f"prompts={wanted.prompts}: the folder's sweep has {n}; allowed are 2 to as many")
    was_run = np.isfinite(differences).any(axis=(0, 2))
    found = []
    for number in range(wanted.sweeps):
        chosen = np.random.default_rng([wanted.seed, number]).choice(n, wanted.prompts, replace=False)
        (told,) = margins([differences[:, was_run][..., chosen]], 1, LEVEL, 0, flips=999)
        found.append((told.above <= 1.0 - LEVEL).all(axis=1))
    return np.array(found)


def shares(table: pd.DataFrame, wanted: Wanted) -> pd.DataFrame:
    """For every pair of a planted model's table, the share of drawn sweeps in which some site of each kind is marked.

    NaN for a kind that the table has no site of. UserError for a table of another model.
    """
    found, schema, known = [], schema_of(table), circuits()
    for names, lines in table.groupby(["model", "original", "desired"], sort=True):
        model, original, desired = cast(tuple[str, str, str], names)
        if model not in known:
            raise UserError(f"model '{model}' has no known circuit; allowed: {', '.join(known)}")
        entry = entry_of(known[model], load_prompt_set().concepts[original].category)
        sites, differences = margins_of(schema.attach(lines))
        marks, kinds = marked(differences, wanted), np.array([kind_of(*site, entry) for site in sites])
        each = {kind: marks[:, kinds == kind] for kind in KINDS}
        share = {kind: float(own.any(axis=1).mean()) if own.size else np.nan for kind, own in each.items()}
        told = {"model": model, "pair": f"{original} → {desired}", "entry at": f"cross-attention {entry}"}
        found.append(told | share)
    return pd.DataFrame(found)


def main(words: Sequence[str] | None = None) -> None:
    """Print the table. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _print)


def _print(words: Sequence[str], console: Console) -> None:
    wanted = parse(words)
    if not wanted.folder.is_dir():
        raise UserError(f"no folder '{wanted.folder}': name the output folder of a sweep of a planted model")
    found = shares(read_table(wanted.folder / TABLE), wanted)
    shown = Table(title=f"share of {wanted.sweeps} sweeps of {wanted.prompts} prompts in which a site is marked")
    for name in found.columns:
        shown.add_column(name, justify="right" if name in KINDS else "left")
    for line in found.itertuples(index=False):
        shown.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in line))
    if found.isna().to_numpy().any():
        console.print("nan: the folder's sweep has no such site", style="dim")
    console.print(shown)


if __name__ == "__main__":
    main()
