"""What is read and fitted, as names that hold everything which decides it, as `mech_music.saes.named` has SAEs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import numpy as np

from mech_music.edits.content import stored
from mech_music.structure.forecast.probes import Probe
from mech_music.structure.forecast.rows import Clock, Rows, horizons_of
from mech_music.structure.pieces.annotated import AnnotatedPiece, Pieces
from mech_music.structure.pieces.packing import unpacked

Tensors = Mapping[str, np.ndarray]


class Sight(StrEnum):
    """What activations are read of: the model along a whole piece; along the last frames alone, under the same prompt;
    the model with shuffled weights along a whole piece."""

    whole = "whole"
    local = "local"
    untrained = "untrained"


@stored
@dataclass(frozen=True)
class Given:
    """The first ``n`` of some pieces, which ``id`` stands for."""

    id: str
    n: int
    pieces: Pieces = field(compare=False, repr=False)


@stored
@dataclass(frozen=True)
class Annotated:
    """The pieces as they were read, and that these horizons can be asked of them, ``window`` frames into them."""

    given: Given
    horizons: tuple[float, ...]
    clock: Clock
    window: int

    @property
    def usual(self) -> bool:
        """Whether nobody named the horizons."""
        return not self.horizons

    def read(self, record: Tensors) -> tuple[list[AnnotatedPiece], dict[float, Rows]]:
        """The pieces of a record, and the rows of each horizon."""
        pieces = unpacked(record["pieces"])
        return pieces, horizons_of(pieces, self.horizons, self.clock, self.window)


@stored
@dataclass(frozen=True)
class AtBeats:
    """Activations at a hook just before each beat: at the step that samples its first token.

    ``window``: frames that the model sees of a piece where its sight is local. ``seed``: of the weights' order.
    """

    given: Given
    hook: str
    sight: Sight = Sight.whole
    window: int = 0
    seed: int = 0


@stored
@dataclass(frozen=True)
class Acoustics:
    """What the last ``window`` frames before each beat sound like."""

    made: ClassVar[int] = 3
    given: Given
    window: int


Columns = AtBeats | Acoustics | str
"""What a probe is given: a recording at beats, or by name columns that need none (see the `controls` beside this)."""


@stored
@dataclass(frozen=True)
class Forecasts:
    """Of every regime and horizon of ``annotated``. ``dealt``: to labels that were dealt anew. ``beside``: by name
    columns that the probe is given as well."""

    annotated: Annotated
    columns: Columns
    probe: Probe
    dealt: bool = False
    beside: str = ""
