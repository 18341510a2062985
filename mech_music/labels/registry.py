"""Labellers by name: a class and a file in ``conf/labeller/`` whose ``_target_`` names it.

Add one: a class with what `mech_music.labels.protocol.Labeller` has, and ``labeller/<name>.yaml``; the file's other
keys are its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mech_music.config.targets import open_target
from mech_music.labels.protocol import Labeller

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig


def open_labeller(settings: dict[str, Any], run: RunConfig) -> Labeller:
    """The labeller of a config, nothing loaded yet. UserError for a class or a setting that does not exist."""
    return open_target("labeller", settings, run)
