"""The bundled model's known truth: which component carries a concept, found by the main job itself.

Nothing here is a golden number: each test states what the music and the architecture make true, with a wide margin.
"""

from __future__ import annotations

import pandas as pd
import pytest

from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.listeners.classifier import ClassifierListener
from mech_music.models.musicgen.loading import Checkpoint
from mech_music.models.sampling import Sampling
from mech_music.results.tables import summarise
from mech_music.store import Store
from mech_music.tasks.interchange.task import Interchange
from tests.composing import compose_run

COMMON = (
    "prompts=12",
    "controls=[noise]",
    "layer=together",
    "engine.device=cpu",
    "duration=2",
    "metrics=[]",
    "design.mean_prompts=15",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    run = compose_run(*COMMON)
    listeners = {"classifier": lambda: ClassifierListener(run.classifier, "cpu")}
    store = Store(tmp_path_factory.mktemp("store"))
    return Engine(Checkpoint(run.model, "cpu"), store, Settings(Sampling(), 2.0), listeners, quiet=True)


def summary_of(engine: Engine, *overrides: str) -> pd.DataFrame:
    run, task = compose_run(*COMMON, *overrides), Interchange()
    summary = summarise(task.score(run, engine.answers(task.plan(run), task.listeners(run))), 500, 0.95, 0)
    return summary.set_index("role")


@pytest.mark.parametrize("pair", ["piano-violin", "classical-rock"])
def test_cross_attention_carries_the_concept(engine: Engine, pair: str) -> None:
    """Text reaches the music through cross-attention alone: replaced in all layers, the desired concept is heard."""
    summary = summary_of(engine, f"pair={pair}", "component=ca")
    effect, noise = summary.loc["technique"], summary.loc["noise"]
    assert effect["flipped"] >= 0.9
    assert noise["flipped"] <= 0.1
    assert effect["effectiveness_low"] > 3 * noise["effectiveness_high"]


def test_unconditional_half_carries_nothing_through_cross_attention(engine: Engine) -> None:
    """Without text there are no keys to attend to: its cross-attention output is zero, and its mean too."""
    summary = summary_of(engine, "pair=piano-violin", "component=ca", "half=uncond")
    effect = summary.loc["technique"]
    assert effect["effectiveness"] == 0
    assert effect["precision"] == 0


def test_adjusting_by_nothing_changes_nothing(engine: Engine) -> None:
    summary = summary_of(engine, "pair=piano-violin", "component=mlp", "technique=steer", "strength=0")
    assert summary.loc["technique", "effectiveness"] == 0
    assert summary.loc["technique", "kept"] == summary.loc["technique", "kept_before"]
