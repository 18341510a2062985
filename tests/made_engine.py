"""An engine on the untrained model, with an untrained listener: for the tests of the machinery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mech_music.config.schema import EngineConfig
from mech_music.edits.row import Fit, Mean, Row
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.listeners.protocol import Clips
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.prompts.declared import load_prompt_set
from mech_music.store import Store
from tests.listener import Listener

STUDY = load_prompt_set()
SHORT = Settings(Sampling(top_k=20), duration=0.4)
FIT = Fit(STUDY.every_prompt, n_clips=4, n_held_out=2, steps=0, epochs=1, seed=0)


def mean(concept: str, n: int, **more: Any) -> Mean:
    """The mean over the first prompts of a concept."""
    return Mean(STUDY.prompts_of(STUDY.concepts[concept], n), **more)


@dataclass
class MadeSource:
    """The untrained model, as the engine asks for it."""

    model: Any
    name: str = "made"
    source: str = "made"
    weights: str = "made"
    model_id: str = "made"


class MadeListener:
    """The untrained listener, as the engine asks for it; counts what it hears."""

    id = "listener"
    in_background = True

    def __init__(self) -> None:
        self.heard = 0

    def load(self) -> None: ...

    def read(self, clips: Clips) -> dict[str, np.ndarray]:
        self.heard += len(clips.rows)
        return {"logits": Listener().logits(clips.audio, clips.sample_rate).numpy()}


@dataclass(frozen=True)
class Outcome:
    """A clip and what the listener reads of it."""

    logits: np.ndarray
    tokens: np.ndarray
    key: str
    failed: bool


class MadeEngine(Engine):
    """Asked for clips and readings together."""

    def outcomes(self, rows: Sequence[Row]) -> dict[Row, Outcome]:
        answers = self.answers(rows, ("classifier",))
        return {
            row: Outcome(
                answers.reading(row, "classifier")["logits"], answers.tokens(row), answers.key(row), answers.failed(row)
            )
            for row in answers.keys
        }


def engine(made: HookedMusicGen | None, folder: Path, pack: int = 128, **how: Any) -> MadeEngine:
    config = EngineConfig(pack=pack, **{"workers": 1, **how})
    return MadeEngine(MadeSource(made), Store(folder), SHORT, {"classifier": MadeListener}, config, quiet=True)
