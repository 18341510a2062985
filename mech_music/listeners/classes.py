"""The names of what a listener can hear, in the order of its logits, known without loading it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from omegaconf import OmegaConf

from mech_music.base.errors import UserError, unknown
from mech_music.config.paths import find_config, options
from mech_music.listeners.labels import label_names

CLASSIFIER = "classifier"


def class_names(listener: str) -> tuple[str, ...]:
    """The classes of ``conf/listener/<listener>.yaml``: AudioSet's for the classifier, else the file's ``classes``.

    UserError if there is no such listener, or if it hears no classes.
    """
    return tuple(label_names()) if listener == CLASSIFIER else _classes(find_config("listener", listener))


@cache
def _classes(path: Path) -> tuple[str, ...]:
    found = OmegaConf.select(OmegaConf.load(path), "classes")
    if not found:
        hearing = [
            CLASSIFIER,
            *(name for name in options("listener") if "classes" in OmegaConf.load(find_config("listener", name))),
        ]
        raise UserError(f"heard_by={path.stem}: this listener has no classes; allowed: {', '.join(hearing)}")
    return tuple(str(name) for name in found)


def find_class(wanted: object, listener: str) -> int:
    """The index of a class, given as a number, by its name, or by one of the names that it joins with commas.

    UserError, one line, for one that the listener does not know.
    """
    names = class_names(listener)
    if isinstance(wanted, int):
        if 0 <= wanted < len(names):
            return wanted
        raise UserError(f"{listener} has no class {wanted}: its classes are 0 to {len(names) - 1}")
    spelt = {part.lower(): place for place, name in reversed([*enumerate(names)]) for part in (*name.split(", "), name)}
    if (found := spelt.get(str(wanted).lower())) is None:
        known = [name for name in names if not name.startswith("class ")]
        raise UserError(
            unknown(f"class of {listener}", str(wanted), known, ", ".join(known[:8]) + (", …" if known[8:] else ""))
        )
    return found
