"""The page of sparse autoencoders: what they leave unexplained and what their features tell, by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd

from mech_music.report.found import Found
from mech_music.report.view import ENDS, Chart, Heat, Measure, Paragraph, View
from mech_music.report.words import each, sampling
from mech_music.report.words import methods as shared_methods
from mech_music.results.canvas import POINT_WORDS
from mech_music.results.tables import ABOVE
from mech_music.saes.settings import n_held_out
from mech_music.tasks.sae.columns import SAE
from mech_music.tasks.sae.settings import SaeSettings as Settings

_SHARES = ("fvu", "fvu_uncond", "recovered", "recovered_uncond", "recovered_zero", "dead", "agreement")
_TELLING = ("random", "neuron", "pca", "shuffled")


def title(found: Found) -> str:
    """The models."""
    return f"Sparse autoencoders, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "How much of a layer's vectors do sparse features explain, what of the model is kept when they take the "
        "vectors' place, and do single features tell the words of prompts, beyond neurons and random directions?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, SAEs, clips, controls, layers, statistics."""
    return shared_methods(found, "held-out clips and words of prompts", _from_configs(found.runs))


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    controls = [f"{role.word}: {role.meaning}." for role in SAE.declared[1:]]
    return [
        ("SAEs", each(f"{POINT_WORDS[run.component.value]}; {run.sae.told}." for run in runs)),
        (
            "Clips",
            each(
                f"{run.duration:g} s each, {sampling(run)}; {n_held_out(run.sae, run.study)} prompts held out."
                for run in runs
            ),
        ),
        ("Controls", controls),
    ]


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    """A line for each SAE, whatever its metrics were measured on, with those of the controls beside them."""
    keys = [axis for axis in SAE.axes if axis not in ("measured", "role", "prompts")]
    named = [metric + end for metric in SAE.metrics for end in ENDS if metric + end in summary]
    there = set(summary["role"])
    of = {role: _one_line(summary, role, keys, named) for role in SAE.roles if role in there}
    own = cast(pd.DataFrame, summary[summary["role"] == SAE.roles[0]])
    effects = own.drop_duplicates(keys).drop(columns=named).merge(of.pop(SAE.roles[0]), how="left", on=keys)
    for role, lines in of.items():
        renamed = lines.rename(columns={name: f"{role}_{name}" for name in named})
        effects = effects.merge(renamed, how="left", on=keys)
    highest = effects.reindex(columns=[f"{role}_auroc_high" for role in _TELLING]).max(axis=1)
    above = (effects["auroc_low"] > highest).to_numpy()
    return effects.assign(verdict=above.astype(int) * ABOVE).reset_index(drop=True)


def _one_line(summary: pd.DataFrame, role: str, keys: list[str], named: list[str]) -> pd.DataFrame:
    lines = cast(pd.DataFrame, summary[summary["role"] == role])
    return lines.groupby(keys, sort=False, dropna=False)[named].first().reset_index()


def page() -> View:
    """AUROC, FVU and KL recovered by layer, of SAEs of each size and kind."""
    return View(
        kind="sparse autoencoders on MusicGen",
        title=title,
        question=question,
        methods=methods,
        beside=_beside,
        site="layer {=layer}, {=width}/{=k} {=activation}",
        effect="the SAE",
        things="sparse autoencoders",
        rank="auroc",
        price=("fvu", "dead"),
        shown=("auroc", "fvu", "fvu_uncond", "recovered", "agreement", "l0", "dead"),
        of_controls=("auroc", "fvu"),
        measures={
            **{name: Measure(share=True, limits=(0.0, 1.0)) for name in _SHARES},
            "auroc": Measure(limits=(0.5, 1.0)),
            "kl": Measure(palette="viridis_r", limits=(0.0, None)),
        },
        selectable=("model", "component", "training", "seed"),
        words={"component": POINT_WORDS},
        heat=Heat(down="width"),
        glance_note="AUROC: mean over words of the best feature, chosen on clips trained on. Marked: above the best "
        "neuron, principal component, random direction and shuffled labels, by intervals.",
        charts=(
            Chart("telling", "What the best feature tells, by layer", "Concepts", ("auroc",), lines=("width",)),
            Chart(
                "explained", "What is explained and kept, by layer", "Reconstruction",
                ("fvu", "recovered", "agreement"), lines=("width",),
                note="On held-out clips. KL recovered: with the SAE spliced in, against the mean vector in its place.",
            ),
        ),
    )  # fmt: skip
