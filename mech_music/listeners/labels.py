"""AudioSet's classes (Gemmeke et al., ICASSP 2017): their order, and the names of those that are music."""

import csv
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from mech_music.base.errors import UserError

N_CLASSES = 527
_NAMELESS = re.compile(r"LABEL_\d+")


@cache
def _known_labels() -> dict[int, str]:
    text = files("mech_music.listeners").joinpath("audioset_music_labels.csv").read_text()
    return {int(row["index"]): row["display_name"] for row in csv.DictReader(text.splitlines())}


def label_names(n: int = N_CLASSES) -> list[str]:
    """AudioSet's display names of classes 0 … n-1 where known (music, 137 to 282), else "class <index>"."""
    known = _known_labels()
    return [known.get(index, f"class {index}") for index in range(n)]


def audioset_columns(names: Sequence[str], n_classes: int, source: str) -> list[int]:
    """For each AudioSet class, the column of a network that has it, by the names that its checkpoint gives.

    The music classes are found by name, whatever their order; the others, whose names nothing here depends on, keep
    theirs. ``source``: the file to name in errors. Raises UserError if the names are not those of AudioSet.
    """
    if not names or any(_NAMELESS.fullmatch(name) for name in names):
        raise UserError(f"{source} does not name its classes: take a checkpoint whose id2label has AudioSet's names")
    if len(names) != n_classes or n_classes != N_CLASSES:
        raise UserError(
            f"{source} names {len(names)} classes, and its network has {n_classes}: both must be AudioSet's {N_CLASSES}"
        )
    known = _known_labels()
    for index, name in known.items():
        if (times := names.count(name)) != 1:
            raise UserError(
                f"{source} names {times or 'no'} class{'es' if times else ''} {name!r} (AudioSet's {index}): take a "
                "checkpoint that was trained on AudioSet's classes"
            )
    music = {name: index for index, name in known.items()}
    rest = iter([column for column, name in enumerate(names) if name not in music])
    return [names.index(known[index]) if index in known else next(rest) for index in range(N_CLASSES)]
