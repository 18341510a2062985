"""The page of what carries returns: costs by size beside random and local ones, and every head's scores."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pandas as pd

from mech_music.report.default import default_view
from mech_music.report.found import Found
from mech_music.report.view import Chart, Heat, Measure, View
from mech_music.results.beside import beside_controls
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
        glance_note="Δ nats a token on tracks that nothing was found on. Marked: above random and local ones.",
        charts=(
            Chart(
                "sizes", "By how many are edited at once", "By size", ("delta",), x="size", lines=("kind",),
                keep=_likelihood, note="The first way of editing in all sizes.", optional=True,
            ),
        ),
    )  # fmt: skip
