"""An engine on the untrained model, with an untrained ear: for the tests of the machinery."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mech_music.config.schema import EngineConfig
from mech_music.edits.row import Fit
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.store import Store
from tests.listener import Listener

SHORT = Settings(Sampling(top_k=20), duration=0.5)
FIT = Fit(n_clips=4, n_held_out=2, steps=0, epochs=1, seed=0)


@dataclass
class MadeVoice:
    """The untrained model and ear, as the engine asks for them."""

    model: Any
    classifier: Any = field(default_factory=Listener)
    name: str = "made"
    source: str = "made"
    weights: str = "made"
    model_id: str = "made"
    classifier_id: str = "listener"


def engine(made: HookedMusicGen | None, folder: Path, pack: int = 128, **how: Any) -> Engine:
    config = EngineConfig(pack=pack, **{"workers": 1, **how})
    return Engine(MadeVoice(made), Store(folder), SHORT, config, quiet=True)
