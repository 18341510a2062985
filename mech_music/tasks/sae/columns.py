"""The table of an SAE's evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mech_music.metrics.metric import Metric
from mech_music.results.columns import (
    DURATION,
    INDEX,
    MODEL,
    POINT,
    PROMPT,
    PROMPT_SET,
    PROMPTS,
    REPEAT,
    TASK,
    Column,
    Role,
    Schema,
)
from mech_music.saes.settings import SaeConfig

SAE_COLUMNS = (
    Column("width", "int64", "", "features of the SAE"),
    Column("k", "int64", "", "features of a vector; 0 where a penalty keeps them few"),
    Column("activation", "str", "", "how features are kept sparse in training"),
    Column("half", "str", "", "guidance half whose vectors it was trained on"),
    Column("training", "str", "", "what else decides the SAE"),
    Column("seed", "int64", "", "seed of the SAE"),
)


def told_of(sae: SaeConfig) -> dict[str, Any]:
    """Their values. Of a file, what it says, and what it calls its hook."""
    own = {"training": sae.told, "seed": sae.seed}
    if sae.path is None:
        k = sae.k if sae.activation.counts else 0
        return own | {"width": sae.width, "k": k, "activation": sae.activation.value, "half": sae.half.value}
    from mech_music.saes.files import read_sae

    found = read_sae(Path(sae.file.path))
    own["training"] += f", written {found.about.written_hook or 'without a hook'}"
    return own | {"width": found.n_features, "k": found.k, "activation": found.activation.value, "half": ""}


SAE = Schema(
    "sae",
    (
        Role("sae", "SAE", "the SAE, and its best feature for each concept", "#0072b2", (), "o"),
        Role("random", "random dictionary", "as many unit directions, by topk as sparse", "#777777", (1, 1.5), "v"),
        Role("neuron", "best neuron", "the hook's own numbers, with sign", "#777777", (4, 2), "s"),
        Role("pca", "principal component", "the directions of the largest variance, with sign", "#777777", (6, 2), "D"),
        Role("shuffled", "shuffled labels", "the SAE, concepts dealt out among prompts at random", "#777777", (2, 2)),
        Role("mean", "mean ablation", "the mean vector of each half in the place of the hook's value", "#777777"),
        Role("zero", "zero ablation", "zero in the place of the hook's value", "#777777", (3, 3), "+"),
    ),
    (
        TASK,
        MODEL,
        Column("measured", "str", "", "on clips (a line for each held-out clip) or concepts (a line for each word)"),
        Column("role", "str", "", "sae, or what is set beside it"),
        POINT,
        Column("layer", "str", "", "the layer that is read"),
        *SAE_COLUMNS,
        DURATION,
        PROMPTS,
        PROMPT_SET,
    ),
    (INDEX, REPEAT, PROMPT),
    (
        Metric("fvu", "", "share of the variance that is not explained, conditional half", "FVU"),
        Metric("fvu_uncond", "", "the same of the unconditional half", "FVU, unconditional"),
        Metric("l0", "", "features active in a vector", "L0"),
        Metric("dead", "", "share of features that never fire on held-out clips", "dead"),
        Metric("kl", "nats", "KL(unedited ‖ replaced), conditional half, teacher-forced", "KL"),
        Metric("recovered", "", "KL recovered against mean ablation: 1 − KL ÷ mean KL of that", "KL recovered"),
        Metric("recovered_uncond", "", "the same of the unconditional half", "KL recovered, unconditional"),
        Metric("recovered_zero", "", "KL recovered against zero ablation", "KL recovered, zero"),
        Metric("agreement", "", "share of codebooks whose most probable token stays", "same most\nprobable token"),
        Metric("auroc", "", "AUROC of the best feature, chosen on clips trained on, on held-out ones", "AUROC"),
    ),
)
