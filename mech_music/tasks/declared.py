"""What a task declares of how it is shown; nothing where it leaves that to its schema."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def declared(task: str, hook: str) -> Any:
    """The task's own ``page``, ``curves`` or ``panels``; None if it has none."""
    module = {"page": "page", "curves": "panels", "panels": "panels"}[hook]
    try:
        return getattr(import_module(f"mech_music.tasks.{task}.{module}"), hook, None)
    except ModuleNotFoundError:
        return None
