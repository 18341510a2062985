"""SAEs from folders, in any format that is known, and whether they belong where they are to be used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError

from mech_music.base.errors import UserError, first_line
from mech_music.saes.folder import format_of
from mech_music.saes.formats import dcsae, dictionary_learning, saelens, sparsify
from mech_music.saes.formats.saelens import write_sae
from mech_music.saes.named import SaeFile
from mech_music.saes.sae import Sae

__all__ = ["Place", "check_sae", "open_file", "read_sae", "write_sae"]
log = logging.getLogger(__name__)
_READERS: dict[str, Callable[[Path], Sae]] = {
    "SAELens": saelens.read,
    "sparsify": sparsify.read,
    "dictionary_learning": dictionary_learning.read,
    "DC-SAE": dcsae.read,
}


def read_sae(folder: Path) -> Sae:
    """The SAE in a folder, in the format that its files have.

    UserError for files that are damaged, and for what they ask that is not done here.
    """
    form = format_of(folder)
    try:
        return _READERS[form.name](folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError, SafetensorError) as error:
        raise UserError(
            f"the SAE in '{folder}' ({form.name}) cannot be read ({first_line(error)}): fetch or write it again"
        ) from None


@dataclass(frozen=True)
class Place:
    """Where an SAE is to be used. ``names``: of the model, that on the Hub among them; ``weights``: the fingerprint of
    its checkpoint; ``frame_rate``: frames a second; ``sample_rate``: of its sound, 0 if it does not matter."""

    hook: str
    names: tuple[str, ...]
    weights: str
    width: int
    frame_rate: float
    sample_rate: int = 0


def open_file(file: SaeFile, place: Place) -> Sae:
    """The SAE in a file, for use at a place; what its hook was taken for is said once. UserError if it belongs
    elsewhere."""
    return _opened(file.digest, file.path, file.hook, place)


@lru_cache(maxsize=1)
def _opened(digest: str, path: str, hook: str, place: Place) -> Sae:
    sae = read_sae(Path(path))
    if hook:
        sae = replace(sae, about=replace(sae.about, hook=hook))
    check_sae(sae, path, place)
    about = sae.about
    if not about.hook:
        log.warning("the SAE in '%s' does not tell its hook: it is taken for one of %s", path, place.hook)
    elif about.written_hook != about.hook:
        log.info("the SAE in '%s' is written for %s, which is taken for %s", path, about.written_hook, about.hook)
    return sae


def check_sae(sae: Sae, folder: str, place: Place) -> None:
    """UserError for an SAE of another hook, width, model, frame or sample rate, as far as its file tells."""
    about, where, hook, names = sae.about, f"the SAE in '{folder}'", place.hook, place.names
    if about.hook not in (hook, ""):
        written = "" if about.written_hook == about.hook else f" (written {about.written_hook})"
        raise UserError(
            f"{where} is of {about.hook}{written}, not of {hook}: choose its layer and component, "
            f"or say sae.hook={hook} if that is what its name stands for"
        )
    if sae.width != place.width:
        raise UserError(
            f"{where} is of vectors of {sae.width} numbers, but {hook} of model '{names[0]}' has {place.width}"
        )
    other_weights = about.weights and about.weights != place.weights
    other_name = not about.weights and about.model and not {_bare(about.model)} & {_bare(name) for name in names}
    if other_weights or other_name:
        raise UserError(f"{where} is of model '{about.model}', not of '{names[0]}': choose that model, or another SAE")
    rates = (
        (about.frame_rate, place.frame_rate, "frames a second"),
        (about.sample_rate, place.sample_rate, "samples a second"),
    )
    for its, here, what in rates:
        if its and here and its != here:
            raise UserError(
                f"{where} is of {its:g} {what}, model '{names[0]}' has {here:g}: choose another SAE or model"
            )


def _bare(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].removeprefix("musicgen-").lower()
