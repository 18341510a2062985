"""Reading many things of which some cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mech_music.base.errors import UserError

Item = TypeVar("Item")
Read = TypeVar("Read")


def readable(items: Iterable[Item], read: Callable[[Item], Read], nothing: str = "") -> tuple[list[Read], list[str]]:
    """What could be read, and a line for each that could not, which says why. UserError where nothing could: the first
    one's, or ``nothing`` where there is none."""
    found, wrong = [], []
    for item in items:
        try:
            found.append(read(item))
        except UserError as error:
            wrong.append(str(error))
    if not found:
        raise UserError(wrong[0] if wrong else nothing)
    return found, wrong
