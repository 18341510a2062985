"""Made-up tables of lenses and similarities with a known shape, for the tests of what is drawn, shown and logged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from mech_music.tasks.tuned_lens.columns import TUNED_LENS

N = 6
LAYERS = ("0", "1", "2", "10")


def _blocks(lines: Sequence[dict[str, object]], means: Sequence[dict[str, float]]) -> pd.DataFrame:
    """``N`` prompts for each line of axes; every metric its mean and a little that is the prompts' own."""
    spread = 0.01 * (np.arange(N) - (N - 1) / 2)
    parts = []
    for number, (axes, metrics) in enumerate(zip(lines, means, strict=True)):
        clips = {"index": np.arange(N), "prompt": [f"Compose a happy rock piece. {i}" for i in range(N)]}
        keys = {"row": [f"{number:032x}{i:032x}" for i in range(N)], "baseline": [f"{i:064x}" for i in range(N)]}
        made_up = {name: mean + spread for name, mean in metrics.items()}
        common = {"model": "tiny", "component": "mlp", "duration": 4.0, "seed": 0, "prompts": N, "failed": False}
        common |= {"prompt_set": "velez2024"}
        parts.append(pd.DataFrame({**common, **axes, **clips, **keys, **made_up}))
    return pd.concat(parts, ignore_index=True)


def decoder_lens_table(
    concepts: Sequence[str] = ("guitar", "jazz"), lenses: Sequence[str] = ("decoder",), layers: Sequence[str] = LAYERS
) -> pd.DataFrame:
    """NDCG grows by 0.1 a place of the layer and is 0.05 higher with a tuned lens; the control stays at 0.2."""
    lines, means = [], []
    for lens, concept, (place, layer), role in product(lenses, concepts, enumerate(layers), DECODER_LENS.roles):
        lines.append({"task": DECODER_LENS.task, "classifier": "tiny", "lens": lens, "reading": "free"})
        lines[-1] |= {"role": role, "layer": layer, "concept": concept}
        ndcg = 0.2 + (0.1 * place + 0.05 * (lens == "tuned") if role == "lens" else 0.0)
        means.append({"ndcg": ndcg, "ndcg_full": 0.7, "p": 0.3, "heard": 0.5, "agreement": 0.4})
    return _blocks(lines, means).loc[:, list(DECODER_LENS.names)]


def tuned_lens_table(layers: Sequence[str] = LAYERS) -> pd.DataFrame:
    """KL of 4 nats at the first layer and 1 less at each that follows; a quarter of it with the tuned lens."""
    lines, means = [], []
    for lens, (place, layer) in product(("decoder", "tuned"), enumerate(layers)):
        lines.append({"task": TUNED_LENS.task, "lens": lens, "role": "lens", "layer": layer})
        kl = (4.0 - place) * (0.25 if lens == "tuned" else 1.0)
        means.append({"kl": kl, "kl_guided": 2 * kl, "agreement": 0.5})
    return _blocks(lines, means).loc[:, list(TUNED_LENS.names)]


def self_similarity_table(concepts: Sequence[str] = ("guitar",), layers: Sequence[str] = LAYERS) -> pd.DataFrame:
    """A distance of one for each place between two layers, half of it where time is averaged first; in the control, 10
    everywhere."""
    lines, means = [], []
    places = [(a, b) for a in range(len(layers)) for b in range(a, len(layers))]
    for concept, role, (a, b) in product(concepts, SELF_SIMILARITY.roles, places):
        lines.append({"task": SELF_SIMILARITY.task, "role": role, "concept": concept, "half": "both"})
        lines[-1] |= {"layer": layers[a], "other": layers[b]}
        distance = float(b - a) if role == "layers" else 10.0
        means.append({"distance": distance, "cosine": 1 - distance / 10, "cka": 1 - distance / 20})
        means[-1]["distance_of_means"] = distance / 2
    return _blocks(lines, means).loc[:, list(SELF_SIMILARITY.names)]
