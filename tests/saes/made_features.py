"""Features with known values, as many as are asked for, and their browser: no model, no SAE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mech_music.edits.row import Edit, Prompts, Row
from mech_music.report.features.media import Media
from mech_music.report.features.write import Browser, write_browser
from mech_music.saes.catalogue import Catalogue, FeatureSet, Word
from mech_music.saes.named import Firing, Harvest, SaeFile

HOOK = "blocks.4.hook_resid_post"
STEPS, DELAY, RATE = 13, 3, 25.0
WORDS = ("guitar", "piano", "jazz")
ATTACK = (
    "<img src=x onerror=\"document.body.dataset.ran='yes'\"></script><script>document.body.dataset.ran='yes'</script>"
)


class _Steering:
    """Two strengths; what they do is of no matter here."""

    def edits(self, hook: str, feature: int) -> dict[str, Edit]:
        return {f"α = {strength}": Edit(hook, 1.0 + strength) for strength in (1, 2)}


def feature_set(n: int = 70, n_clips: int = 60, hook: str = HOOK, layer: int = 4, steps: int = STEPS) -> FeatureSet:
    """Feature j is strongest in clip ``j % n_clips``, at step ``j % 10``; feature 3 is dead."""
    rng = np.random.default_rng(layer)
    kinds = [0, 0, 1, 2]
    clip = (np.arange(n)[:, None] + np.arange(len(kinds))) % n_clips
    trace = np.where(rng.random((n, len(kinds), steps)) < 0.3, rng.random((n, len(kinds), steps)), 0)
    trace[np.arange(n), 0, np.arange(n) % 10] = 4.0
    if n > 3:
        clip[3, :3], trace[3] = -1, 0
    largest = np.where(np.arange(n) == 3, 0, 4.0).astype(np.float32)
    by_word = np.stack([np.full((len(WORDS) + 1, n), value) for value in (0.2, 0.1, 0.3)]).astype(np.float32)
    readout = {
        "nearest": (np.arange(n)[:, None] + [1, 2]) % n,
        "cosine": np.tile([0.5, 0.25], (n, 1)),
        "token": np.tile(np.arange(4), (n, 2, 1)),
        "effect": np.tile([2.0, 1.0, -2.0, -1.0], (n, 2, 1)),
        "random_cosine": np.array([0.4]),
        "random_effect": np.array([0.75, 0.5]),
    }
    prompts = Prompts.of([f"prompt {number}" for number in range(-(-n_clips // 2))])
    rows = Harvest(prompts, n_clips, 0).rows
    words = [Word("", "all prompts", len(prompts.texts)), *(Word("instrument", word, 2) for word in WORDS)]
    by_step = rng.random((steps, n))
    traces = trace.astype(np.float16)
    steering: Any = _Steering()
    return FeatureSet(
        layer, hook, RATE, steps - DELAY, rows, kinds, clip.astype(np.int32), traces, largest, words, by_word, by_step,
        readout, steering,
    )  # fmt: skip


def table_of(of: FeatureSet, seed: int = 0) -> pd.DataFrame:
    """As the job's table of features is: of more score, the smaller the number; the last one tells nothing."""
    n, rng = of.n_features, np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "layer": of.layer,
            "hook": of.hook,
            "feature": np.arange(n),
            "fires_in_5_percent": rng.random(n).round(3),
            "viable_fires_in_5_percent": np.arange(n) % 2 == 0,
            "category": "instrument",
            "word": [WORDS[number % len(WORDS)] for number in range(n)],
            "auroc": np.append(np.linspace(1, 0.5, n - 1), np.nan),
            "largest": of.largest,
        }
    )


LABELS = pd.DataFrame(
    [
        (4, HOOK, 5, "tagger", "plucked <b>strings</b>", 0.9, ATTACK, 0.8, 0.7, 0.9, 0.5, 40),
        (4, HOOK, 5, "words", ATTACK, 0.7, np.nan, 0.6, np.nan, np.nan, 0.5, 40),
        (4, HOOK, 9, "words", "a bell", 0.4, "rings", np.nan, np.nan, np.nan, np.nan, np.nan),
    ],
    columns=pd.Index(
        ["layer", "hook", "feature", "labeller", "label", "confidence", "description", "score", "score_low",
         "score_high", "control", "n_clips"]
    ),
)  # fmt: skip


def rendered(rows: Sequence[Row]) -> tuple[np.ndarray, int]:
    """Half a second of noise, the same for the same row."""
    clips = [np.random.default_rng([row.seed, len(row.edits)]).normal(0, 0.1, 8000) for row in rows]
    return np.stack(clips).astype(np.float32), 16_000


def made_catalogue(*sets: FeatureSet, with_sound: int = 6, with_steering: int = 2) -> Catalogue:
    return Catalogue("tiny", sets, with_sound, with_steering)


def written(folder: Path, catalogue: Catalogue, labels: pd.DataFrame = LABELS, sound: bool = True) -> Browser:
    """The browser in ``folder``."""
    media = Media(folder, rendered, lambda row: row.key("made up")) if sound else None
    table = pd.concat([table_of(of, number) for number, of in enumerate(catalogue.sets)])
    return write_browser(catalogue, table, labels, folder, media)


FILE = SaeFile("0" * 64, "nowhere")
FIRING = Firing(FILE, HOOK, Harvest(Prompts.of(["one", "two"]), 8, 0))
