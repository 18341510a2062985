"""Every corpus by its name: where it comes from, what may be done with it, and which pieces are held out."""

from __future__ import annotations

import hashlib
import importlib
import logging
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from mech_music.base.errors import UserError, unknown
from mech_music.models.symbolic.corpora.fitting import Stretch, fit, grid_of, off_grid
from mech_music.models.symbolic.corpora.scores import Reading
from mech_music.models.symbolic.notes import Grid

log = logging.getLogger(__name__)
PLANTED = "planted"


@dataclass
class CorpusConfig:
    """``name``: planted, or one of `SOURCES`. ``path``: of the user's folder, where one is needed. ``positions`` of a
    bar: 8 (eighths) or 16. ``held_out``: share of the pieces that are never trained on, drawn by ``seed`` and a piece's
    name. ``limit``: the first so many files, 0 for all. Nothing but the name concerns planted pieces."""

    name: str = PLANTED
    path: str = ""
    positions: int = 8
    held_out: float = 0.2
    seed: int = 2024
    limit: int = 0


class Source(NamedTuple):
    """``read``: a function of the path and the limit, ``<module>.<function>``, imported when it is used."""

    read: str
    where: str
    licence: str


_HERE = "mech_music.models.symbolic.corpora"
SOURCES = {
    "chorales": Source(
        f"{_HERE}.music21_corpus.chorales",
        "J. S. Bach's chorales in the corpus of the package music21, read from there",
        "the music is in the public domain; the encodings are those that music21 distributes, see its corpus' licence",
    ),
    "folk": Source(
        f"{_HERE}.music21_corpus.folk",
        "Ryan's Mammoth Collection (1883) in the corpus of the package music21, read from there",
        "the music is in the public domain; the encodings are those that music21 distributes, see its corpus' licence",
    ),
    "pop909": Source(
        f"{_HERE}.pop909.pop909",
        "POP909 (Wang et al. 2020) in the user's copy of hierarchical-structure-analysis (Dai et al. 2020)",
        "MIT, of the data set and of its annotations; the songs are their owners'",
    ),
    "midi": Source(f"{_HERE}.midi.midi", "a folder of the user's MIDI files", "the user's: unknown to us"),
}


@dataclass(frozen=True, eq=False)
class Corpus:
    """Stretches of whole pieces for training and held out, on one grid; ``manifest``: where they come from."""

    train: tuple[Stretch, ...]
    held_out: tuple[Stretch, ...]
    grid: Grid
    manifest: dict[str, Any]


def check(config: CorpusConfig) -> None:
    """UserError for words and numbers that make no corpus."""
    if config.name != PLANTED and config.name not in SOURCES:
        raise UserError(unknown("corpus", config.name, (PLANTED, *SOURCES)))
    if not 0 < config.held_out < 1:
        raise UserError(f"corpus.held_out={config.held_out:g}: expected a share of the pieces, above 0 and below 1")
    if config.limit < 0:
        raise UserError(f"corpus.limit={config.limit}: expected a number of files, 0 for all")
    grid_of(config.positions)


def load(config: CorpusConfig) -> Corpus:
    """Read, fitted and split. UserError where nothing can be used; single pieces are left out with a warning."""
    check(config)
    return _load(*astuple(config))


@lru_cache(maxsize=4)
def _load(name: str, path: str, positions: int, share: float, seed: int, limit: int) -> Corpus:
    module, _, function = SOURCES[name].read.rpartition(".")
    reading: Reading = getattr(importlib.import_module(module), function)(path, limit)
    grid, wrong = grid_of(positions), list(reading.left_out)
    fitted, moved = dict[str, list[Stretch]](), [0, 0]
    for score in reading.scores:
        try:
            found = fit(score, grid)
        except UserError as error:
            wrong.append(str(error))
            continue
        if not found:
            wrong.append(f"'{score.name}' has no eight bars in a row with notes in each: leave it out")
            continue
        fitted[score.name] = found
        moved = [a + b for a, b in zip(moved, off_grid(score, grid), strict=True)]
    if wrong:
        log.warning("corpus %s: %d pieces are left out: %s", name, len(wrong), wrong[0])
    if not fitted:
        raise UserError(wrong[0])
    parts = [[one for own, some in fitted.items() for one in some if _is_held_out(own, seed, share) is held]
             for held in (False, True)]  # fmt: skip
    if not all(parts):
        raise UserError(
            f"corpus={name}: of {len(fitted)} pieces none is {'held out' if parts[0] else 'trained on'}: add pieces, "
            "or change corpus.held_out"
        )
    counted = {part: {"pieces": len({one.score for one in some}), "stretches": len(some)}
               for part, some in zip(("train", "held_out"), parts, strict=True)}  # fmt: skip
    manifest = {
        "corpus": {"name": name, "path": path, "positions": positions, "held_out": share, "seed": seed, "limit": limit},
        "source": SOURCES[name].where,
        "licence": SOURCES[name].licence,
        **counted,
        "left_out": len(wrong),
        "onsets_moved": round(moved[0] / moved[1], 4),
        "held_out_pieces": sorted({one.score for one in parts[1]}),
        "digest": hashlib.sha256(repr((grid, parts)).encode()).hexdigest()[:24],
    }
    return Corpus(tuple(parts[0]), tuple(parts[1]), grid, manifest)


def _is_held_out(name: str, seed: int, share: float) -> bool:
    """A function of the piece's name: that other pieces come and go does not move it."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")
    return drawn < share * 2**32
