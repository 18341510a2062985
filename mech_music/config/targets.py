"""What a config names as its ``_target_``: a class or a function, in the package or in a user's own file."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from mech_music.base.errors import UserError, first_line
from mech_music.config.paths import config_folders


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
