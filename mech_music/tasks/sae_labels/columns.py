"""The table of labels: a line for each feature and each confidence that may be asked for."""

from mech_music.metrics.metric import Metric
from mech_music.results.columns import DURATION, INDEX, MODEL, POINT, PROMPT_SET, TASK, Column, Role, Schema
from mech_music.tasks.sae.columns import SAE_COLUMNS

ASKED = tuple(tenth / 10 for tenth in range(11))
"""Confidences that are asked for."""
ACCEPTED = 0.5
"""F1 of a label that is accepted (as AudioSAE does)."""

SAE_LABELS = Schema(
    "sae_labels",
    (
        Role("label", "label", "the feature's own label", "#0072b2", (), "o"),
        Role("dealt", "another feature's label", "labels dealt out among the features, never their own", "#777777"),
    ),
    (
        TASK,
        MODEL,
        Column("labeller", "str", "", "who labels"),
        Column("role", "str", "", "label, or what is set beside it"),
        POINT,
        Column("layer", "str", "", "the layer that is read"),
        Column("asked", "float64", "", "the confidence that is asked for: labels with less are left out"),
        *SAE_COLUMNS,
        Column("rule", "str", "", "which features are labelled, and by which clips"),
        DURATION,
        PROMPT_SET,
    ),
    (INDEX, Column("feature", "int64", "", "number of the feature"), Column("label", "str", "", "what it is called")),
    (
        Metric("kept", "", "the label has the confidence that is asked for", "labels kept", share=True),
        Metric("auroc", "", "AUROC of the label for whether the feature fires, held-out clips", "AUROC"),
        Metric("f1", "", "F1 of the label for whether the feature fires, held-out clips", "F1"),
        Metric("accepted", "", "labels with an F1 above 0.5", "F1 above 0.5", share=True),
        Metric("above", "", "labels whose AUROC's interval lies above that of dealt labels", "above dealt", share=True),
        Metric("confidence", "", "what the labeller says", "confidence"),
        Metric("similarity", "", "cosine of the label's text and the feature's strongest held-out clips", "similarity"),
    ),
)
