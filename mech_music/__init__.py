"""Mechanistic interpretability of generative music models.

What most programs need, loaded when it is first used::

    from mech_music import Edit, Engine, Row, load_model

    model = load_model()  # the bundled MusicGen
    engine = Engine.of(model, duration=1.0)
    answers = engine.answers([Row("Compose a happy rock piece.", seed=0, edits=(Edit("blocks.3.hook_mlp_out", 0.0),))])
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Read when torch is loaded. Threads that wait by spinning make a small model ten times slower as soon as
# anything else runs on the machine; sleeping ones cost next to nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from mech_music.base.errors import UserError
    from mech_music.edits.patch import Patch
    from mech_music.edits.row import Edit, Exit, Half, Mean, Prefix, Prompts, Row, Term
    from mech_music.engine.engine import Answers, Engine
    from mech_music.listeners.classifier import load_classifier
    from mech_music.models.cache import ActivationCache
    from mech_music.models.hooks import Hook
    from mech_music.models.musicgen.loading import load_model
    from mech_music.models.sampling import Sampling
    from mech_music.store import Store

_PLACES = {
    "ActivationCache": "models.cache",
    "Answers": "engine.engine",
    "Edit": "edits.row",
    "Engine": "engine.engine",
    "Exit": "edits.row",
    "Half": "edits.row",
    "Hook": "models.hooks",
    "Mean": "edits.row",
    "Patch": "edits.patch",
    "Prefix": "edits.row",
    "Prompts": "edits.row",
    "Row": "edits.row",
    "Sampling": "models.sampling",
    "Store": "store",
    "Term": "edits.row",
    "UserError": "base.errors",
    "load_classifier": "listeners.classifier",
    "load_model": "models.musicgen.loading",
}
__all__ = [
    "ActivationCache", "Answers", "Edit", "Engine", "Exit", "Half", "Hook", "Mean", "Patch", "Prefix", "Prompts", "Row",
    "Sampling", "Store", "Term", "UserError", "load_classifier", "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """A public name, from where it is defined: importing the package alone loads nothing heavy."""
    if name not in _PLACES:
        raise AttributeError(f"module 'mech_music' has no attribute '{name}'; public names: {', '.join(__all__)}")
    return getattr(import_module(f"mech_music.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
