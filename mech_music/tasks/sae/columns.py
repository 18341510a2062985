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
from mech_music.saes.measured import SIMILAR
from mech_music.saes.probing import SIZES
from mech_music.saes.settings import SaeConfig

SAE_COLUMNS = (
    Column("width", "int64", "", "features of the SAE"),
    Column("k", "int64", "", "features of a vector; 0 where a penalty keeps them few"),
    Column("activation", "str", "", "how features are kept sparse in training"),
    Column("half", "str", "", "guidance half whose vectors it was trained on"),
    Column("training", "str", "", "what else decides the SAE"),
    Column("seed", "int64", "", "seed of the SAE"),
)


OF_SAE = (
    *(column for column in SAE_COLUMNS if column.name not in ("half", "seed")),
    Column("sae_seed", "int64", "", "seed of the SAE"),
)
"""Which SAE it is, in tables whose half and seed are those of the edit and of the clips."""
EDITED_CLIP = (
    Column("row", "str", "", "key of the edited clip in the store"),
    Column("baseline", "str", "", "key of the same prompt and seed without the edit"),
)
UNEDITED = Role("unedited", "unedited", "the same prompt and seed without an edit", "#777777", (4, 2), level=True)
KEPT = Metric("kept", "", "the prompt's word of the category that should stay is heard", "other kept", share=True)
SURPRISE = Metric("surprise", "nats", "nats a token that the edit adds under the unedited model", "surprise")
"""What edits with an SAE's features share in their tables."""


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
        Role(
            "dense", "linear probe", "a probe of all of the hook's numbers: what is linearly there", "#777777", (8, 2)
        ),
        Role(
            "difference", "difference of means", "the hook along the concept's mean less the others'", "#777777", (1, 1)
        ),
        Role("mean", "mean ablation", "the mean vector of each half in the place of the hook's value", "#777777"),
        Role("zero", "zero ablation", "zero in the place of the hook's value", "#777777", (3, 3), "+"),
        Role("turned", "clips turned", "each clip's steps turned by a number drawn for it", "#777777", (1, 3)),
        Role("frames", "random frames", "tokens of as many frames drawn at random", "#777777", (2, 1)),
        Role("patterns", "other clips", "tokens of other clips where the feature fires in its own", "#777777", (4, 1)),
    ),
    (
        TASK,
        MODEL,
        Column("measured", "str", "", "on clips, concepts (words), words of a category, or features: a line each"),
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
        Metric("auroc_pooled", "", "the same in the word's best pooling over time, chosen likewise", "AUROC, pooled"),
        *(
            Metric(f"probe_{size}{ending}", "", f"AUROC of a probe of {size} features{how}", f"{size} features{how}")
            for ending, how in (("", ""), ("_pooled", ", pooled"))
            for size in SIZES
        ),
        Metric("found_again", "", f"a feature of another seed has a decoder of cosine ≥ {SIMILAR:g}", "found again"),
        Metric("cosine", "", "cosine with the nearest decoder of another seed", "nearest decoder, cosine"),
        Metric("iou", "", "steps in which both fire, of those in which either does", "IoU with the nearest"),
        Metric("kept", "", "share of features that the filter keeps", "kept"),
        Metric("positional", "", "share of a feature's variance that its place in the clip decides", "by position"),
        Metric("token_entropy", "nats", "entropy of the tokens that are sampled where it fires", "token entropy"),
        Metric("r", "", "1 − entropy of clusters of tokens ÷ entropy of tokens, where it fires", "R"),
        Metric(
            "r_above", "", "share of features whose R is above both nulls (false discovery rate 5 %)", "R above null"
        ),
        Metric("r_below", "", "share whose R is below both", "R below null"),
    ),
)
