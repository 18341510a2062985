"""Planted pieces that no model was trained on, as tokens of the model that is asked about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from mech_music.base.errors import UserError, unknown
from mech_music.structure.pieces.annotated import AnnotatedPiece
from mech_music.tiny.long.composition import FRAME_RATE, HELD_OUT, Piece, compose
from mech_music.tiny.long.forms import REGIMES
from mech_music.tiny.long.sound import SAMPLE_RATE, render

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.models.protocol import Generator

_AT_ONCE = 8


def composed(name: str) -> Piece:
    """The piece that an annotated one of this name is of; `mech_music.tiny.long.composition.truth` tells its frames."""
    return compose(int(name.removeprefix("planted-")))


class PlantedPieces:
    """Annotated pieces (`mech_music.structure.pieces`) of some regimes (told, hinted, blind), by their numbers."""

    def __init__(self, regimes: Sequence[str] = REGIMES) -> None:
        self.regimes = tuple(regimes)
        if not self.regimes:
            raise UserError(f"pieces=planted: regimes=[]: name at least one of {', '.join(REGIMES)}")
        for regime in self.regimes:
            if regime not in REGIMES:
                raise UserError(f"pieces=planted: {unknown('regime', regime, REGIMES)}")
        self.id = f"planted 3, {'+'.join(regime for regime in REGIMES if regime in self.regimes)}"

    @classmethod
    def from_run(cls, run: RunConfig, regimes: Sequence[str] = REGIMES) -> Self:
        """Those that ``conf/pieces/planted.yaml`` asks for. UserError for a regime that there is not."""
        return cls(regimes)

    def compositions(self, n: int) -> list[Piece]:
        """The first ``n`` held-out pieces of these regimes."""
        pieces = (compose(HELD_OUT + number) for number in count())
        return list(islice((piece for piece in pieces if piece.regime in self.regimes), n))

    def load(self, n: int, generator: Generator) -> Sequence[AnnotatedPiece]:
        """The first ``n`` held-out pieces, encoded. UserError for a model whose frames are not theirs."""
        if n < 1:
            raise UserError(f"{n} pieces: ask for at least one")
        if generator.frame_rate != FRAME_RATE:
            raise UserError(
                f"pieces=planted has {FRAME_RATE:g} frames a second and this model {generator.frame_rate:g}: "
                "use model=tiny-long"
            )
        found, pieces = [], self.compositions(n)
        for start in range(0, n, _AT_ONCE):
            group = pieces[start : start + _AT_ONCE]
            audio = torch.from_numpy(np.stack([render(piece) for piece in group]))
            codes = generator.to_tokens(audio, SAMPLE_RATE).cpu().numpy()
            found += [annotated(piece, one) for piece, one in zip(group, codes, strict=True)]
        return found


def annotated(piece: Piece, codes: np.ndarray) -> AnnotatedPiece:
    """A composed piece with its tokens ``[codebook, frame]``."""
    name = f"planted-{piece.number}"
    return AnnotatedPiece(
        name, name, piece.regime, piece.prompt, FRAME_RATE, piece.annotated, piece.beats, codes.astype(np.int64)
    )
