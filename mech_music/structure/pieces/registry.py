"""Annotated pieces by name: a class and a file in ``conf/pieces/`` whose ``_target_`` names it.

Add one: a class with what `mech_music.structure.pieces.annotated.Pieces` has, and ``pieces/<name>.yaml``; the file's
other keys are its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mech_music.config.targets import open_target
from mech_music.structure.pieces.annotated import Pieces

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig


def open_pieces(settings: dict[str, Any], run: RunConfig) -> Pieces:
    """The pieces of a config, nothing made yet. UserError for a class or a setting that does not exist."""
    return open_target("pieces", settings, run)
