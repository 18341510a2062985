"""What a config names as its ``_target_``: a class or a function, in the package or in a user's own file."""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError, first_line, unknown
from mech_music.config.paths import config_folders

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig


def target_of(path: str) -> Any:
    """The object that a dotted path names, in a module of the user's config folders or wherever Python finds it.

    UserError if there is no such module or object. Only for configs that the user gave: what it imports, runs.
    """
    sys.path += [folder for folder in map(str, config_folders()[1:]) if folder not in sys.path]
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"_target_={path} cannot be found ({first_line(error)}): expected module.name, the module on PYTHONPATH or "
            "in the folder given as --config-dir"
        ) from error


def open_target(group: str, settings: dict[str, Any], run: RunConfig) -> Any:
    """What a file of ``conf/<group>/`` asks for: its ``_target_`` by ``from_run``, its other keys as settings.

    UserError for a class or a setting that does not exist.
    """
    own = {key: value for key, value in settings.items() if key not in ("_target_", "name")}
    found = target_of(str(settings.get("_target_")))
    allowed = [name for name in signature(found.from_run).parameters if name != "run"]
    if wrong := [key for key in own if key not in allowed]:
        raise UserError(unknown(f"key of {group}={settings.get('name')}", wrong[0], allowed))
    return found.from_run(run, **own)
