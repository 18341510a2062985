"""Annotated pieces by name: a class and a file in ``conf/pieces/`` whose ``_target_`` names it.

Add one: a class with what `mech_music.structure.annotated.Pieces` has, and ``pieces/<name>.yaml``; the file's other
keys are its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError, unknown
from mech_music.config.targets import target_of
from mech_music.structure.annotated import Pieces

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig


def open_pieces(settings: dict[str, Any], run: RunConfig) -> Pieces:
    """The pieces of a config, nothing made yet. UserError for a class or a setting that does not exist."""
    own = {key: value for key, value in settings.items() if key not in ("_target_", "name")}
    found = target_of(str(settings.get("_target_")))
    allowed = found.from_run.__code__.co_varnames[2 : found.from_run.__code__.co_argcount]
    if wrong := [key for key in own if key not in allowed]:
        raise UserError(unknown(f"key of pieces={settings.get('name')}", wrong[0], allowed))
    return found.from_run(run, **own)
