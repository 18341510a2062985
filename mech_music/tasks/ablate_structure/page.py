"""The page of what carries returns: costs by size beside random and local ones, and every head's scores."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import cast

import pandas as pd

from mech_music.report.default import default_view
from mech_music.report.found import Found
from mech_music.report.view import Chart, Decision, Heat, Measure, View
from mech_music.results.beside import beside_controls
from mech_music.structure.causes.causality import CAUSAL
from mech_music.structure.pieces.timeline import script, shown
from mech_music.tasks.ablate_structure.columns import ABLATE_STRUCTURE

_SHOWN = ("delta", "difference", "lost", "surprise", "restored", "agreement", "contrast")


def _title(found: Found) -> str:
    return f"What carries returns, model {found.models}"


def _question(found: Found) -> str:
    return (
        "When a piece returns to earlier music, some heads look back at where it was. Is a return less likely without "
        "them, more so than without random or local ones, and is anything else?"
    )


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    return beside_controls(summary, _SHOWN)


def _likelihood(effects: pd.DataFrame) -> pd.Series:
    return cast(pd.Series, effects["measured"] == "likelihood")


def _verdict(found: Found) -> list[Decision]:
    """Of each job the size and way that were asked for."""
    files = [job.folder / CAUSAL for job in found.jobs]
    return [
        (f"{one['edited']}, {name}", one[name]["holds"], one[name]["told"])
        for path in files
        if path.is_file()
        for one in json.loads(path.read_text(encoding="utf-8"))["found"][:1]
        for name in ("causal", "specific")
    ]


def page() -> View:
    """Kinds of sections by how many are edited at once; curves by size."""
    return replace(
        default_view(ABLATE_STRUCTURE),
        kind="causal tests of structure",
        title=_title,
        question=_question,
        beside=_beside,
        site="{measured}, {kind}, {=size} by {=how}",
        effect="what was found",
        rank="delta",
        shown=_SHOWN,
        of_controls=_SHOWN,
        measures={"delta": Measure(signed=True, palette="RdBu_r"), "restored": Measure(share=True)},
        heat=Heat(across="size", down="kind"),
        selectable=("model", "pieces", "candidates", "half", "measured", "how"),
        glance=_likelihood,
        verdict=_verdict,
        glance_note="Δ nats a token on tracks that nothing was found on. Marked: above random and local ones.",
        charts=(
            Chart(
                "sizes", "By how many are edited at once", "By size", ("delta",), x="size", lines=("kind",),
                keep=_likelihood, note="The first way of editing in all sizes.", optional=True,
            ),
            Chart(
                "timelines", "Pieces from beginning to end", "Pieces", ("delta",), kind="arcs", keep=_likelihood,
                note="Sections that are alike have one colour. An arc: an earlier beat that a head gives a tenth of "
                "its attention or more, the mean over a beat; the wider, the more. No head was chosen by these pieces.",
            ),
        ),
        script=script() + files("mech_music.tasks.ablate_structure").joinpath("page.js").read_text(encoding="utf-8"),
        data=shown,
    )  # fmt: skip
