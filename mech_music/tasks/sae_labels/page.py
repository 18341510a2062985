"""The page of labels: scores of each labeller by layer, and what is kept by the confidence that is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pandas as pd

from mech_music.report.default import default_view
from mech_music.report.found import Found
from mech_music.report.view import Chart, Heat, Measure, View, beside_roles
from mech_music.tasks.sae_labels.columns import SAE_LABELS

_WHOLE = (0.0, 1.0)


def _title(found: Found) -> str:
    return f"Labels of features, model {found.models}"


def _question(found: Found) -> str:
    return (
        "A feature of a sparse autoencoder is called by what its strongest clips have in common. Does the label say in "
        "which other clips it fires, better than another feature's label does?"
    )


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    return beside_roles(summary, "auroc")


def _all_labels(effects: pd.DataFrame) -> pd.Series:
    return cast(pd.Series, effects["asked"] == 0)


def page() -> View:
    """Labeller by layer where all labels are kept; curves by confidence."""
    scores = ("auroc", "f1", "accepted", "above", "similarity")
    return replace(
        default_view(SAE_LABELS),
        kind="labels of features",
        title=_title,
        question=_question,
        beside=_beside,
        site="{labeller}, {layer}, confidence from {asked}",
        effect="the feature's own label",
        rank="auroc",
        shown=("auroc", "f1", "accepted", "above", "kept", "confidence", "similarity"),
        measures={
            **{name: Measure(limits=_WHOLE) for name in ("auroc", "f1", "confidence")},
            **{name: Measure(share=True, limits=_WHOLE) for name in ("accepted", "above", "kept")},
        },
        heat=Heat(across="asked", down="layer"),
        selectable=("model", "labeller", "component", "width", "seed"),
        glance=_all_labels,
        glance_note="All labels, whatever their confidence.",
        charts=(
            Chart(
                "confidence", "By the confidence that is asked for", "By confidence", ("kept", *scores[:3]), x="asked",
                lines=("layer",),
                note="Labels with less confidence are left out of scores. Control: labels dealt to other features.",
            ),
            Chart("layers", "By layer", "By layer", scores, lines=("labeller",), keep=_all_labels),
        ),
    )  # fmt: skip
