"""Listeners by name: a class and a file in ``conf/listener/`` whose ``_target_`` names it.

Add one: a class with what `mech_music.listeners.protocol.Listener` has, a class method ``from_run(run, **settings)``,
and ``conf/listener/<name>.yaml``; the file's other keys are the settings.
"""

from __future__ import annotations

from typing import Any

from hydra.utils import get_class
from omegaconf import OmegaConf

from mech_music.base.errors import UserError, first_line
from mech_music.config.paths import find_config, options
from mech_music.config.schema import RunConfig, load_classifier_config
from mech_music.listeners.protocol import Listener


def open_listener(name: str, run: RunConfig) -> Listener:
    """The listener of ``conf/listener/<name>.yaml`` for a run; not loaded yet. UserError if that cannot be had."""
    path = find_config("listener", name)
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    target = settings.pop("_target_", None)
    try:
        found: Any = get_class(str(target))
    except Exception as error:
        raise UserError(
            f"listener '{name}': its _target_ '{target}' cannot be imported ({first_line(error)}): mend "
            f"{path.name}, or run where Python finds the module"
        ) from error
    if lacking := [part for part in ("from_run", "load", "read") if not hasattr(found, part)]:
        raise UserError(f"listener '{name}': {target} has no {lacking[0]}(); see mech_music/listeners/protocol.py")
    return found.from_run(run, **settings)


def listener_names() -> list[str]:
    """The names that a task may ask for."""
    return options("listener")


def bundled_classifier() -> Listener:
    """The bundled model's own classifier."""
    from mech_music.listeners.classifier import ClassifierListener

    return ClassifierListener(load_classifier_config("tiny"))
