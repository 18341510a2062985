"""SAEs in the terminal: a line for each, then what tells concepts beside its features, then what its features are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import Line, blocks_of, lines_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae.columns import SAE

_SHOWN = ("fvu", "fvu_uncond", "l0", "dead", "recovered", "agreement")
_NAMES = ("FVU", "uncond", "L0", "dead", "KL recovered", "agreement")
_TELLING = ("sae", "neuron", "pca", "random", "shuffled", "dense", "difference")
_HEADS = ("SAE", "neuron", "PCA", "random", "shuffled", "probe", "means")
_SCORES = {
    "best feature": "auroc",
    "best feature, pooled": "auroc_pooled",
    "5 features": "probe_5",
    "5 features, pooled": "probe_5_pooled",
}
_OF_FEATURES = ("found_again", "iou", "positional", "token_entropy", "r")
_BESIDE = ("random", "turned", "frames", "patterns")
_NOTE = (
    "AUROC on held-out clips, mean over words. Neuron, PCA: with sign; random: a dictionary of the same size; probe: "
    "of all of the hook; means: their difference. Pooled: how time is pooled is chosen on the clips trained on, as the "
    "feature is. Turned: clips by a random number of steps; frames: tokens of random frames; clips: tokens of other "
    "clips at the same steps. R above, below: both of these (false discovery rate 5 %)."
)
_Found = Mapping[tuple[str, str], Line]


def sae_table(summary: pd.DataFrame) -> Table:
    """What is explained and kept on held-out clips; AUROC of what tells words; features beside their nulls."""
    lines, outer = lines_of(summary), Table.grid()
    first = empty_table()
    for name in ("SAE", *_NAMES):
        first.add_column(name, justify="left" if name == "SAE" else "right", no_wrap=True)
    for line in (line for line in lines if line["measured"] == "clips" and line["role"] == "sae"):
        first.add_row(_name(line), *(number(line[metric]) for metric in _SHOWN))
    for part in (Text(f"On held-out prompts, model {lines[0]['model']}", style="bold"), first):
        outer.add_row(part)
    for block in blocks_of(summary, [key for key in SAE.axes_beside("measured") if key != "prompts"]):
        found = {(line["measured"], line["role"]): line for line in block}
        for part in (Text(_name(block[0]), style="bold"), _concepts(block, found), _features(found)):
            outer.add_row(part)
    outer.add_row(Text(f"{SAE.metric('recovered').meaning}. {_NOTE}", style="dim"))
    return outer


def _concepts(block: Sequence[Line], found: _Found) -> Table:
    shown = empty_table()
    for name in ("AUROC", *_HEADS):
        shown.add_column(name, justify="left" if name == "AUROC" else "right", no_wrap=True)
    for name, metric in _SCORES.items():
        shown.add_row(name, *_cells(found, "concepts", metric))
    told = dict.fromkeys(line["measured"] for line in block if line["role"] == "neuron")
    for category in (name for name in told if name != "concepts"):
        shown.add_row(f"{category}, pooled", *_cells(found, category, "auroc_pooled"))
    return shown


def _cells(found: _Found, measured: str, metric: str) -> list[str]:
    return [number(found[measured, role][metric]) if (measured, role) in found else "–" for role in _TELLING]


def _features(found: _Found) -> Table:
    shown = empty_table()
    shown.add_column("mean over features", no_wrap=True)
    for name in ("SAE", "random", "turned", "frames", "clips"):
        shown.add_column(name, justify="right", no_wrap=True)
    own = found["features", "sae"]
    for metric in ("kept", *_OF_FEATURES, "r_above", "r_below"):
        beside = [number(line[metric]) if (line := found.get(("features", role))) else "–" for role in _BESIDE]
        shown.add_row(SAE.metric(metric).word or metric.replace("_", " "), spread(own, metric), *beside)
    words, random = (found.get(("concepts", role)) for role in ("sae", "random"))
    if words is not None and random is not None:  # of a corpus no words may be known
        again = spread(words, "found_again"), number(random["found_again"])
        shown.add_row("found again, best of each word", *again, "–", "–", "–")
    return shown


def _name(line: Line) -> str:
    return f"{line['component']} {line['layer']}, {line['width']}/{line['k']} {line['activation']}, seed {line['seed']}"
