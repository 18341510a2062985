"""Planted pieces of notes as annotated ones: what symbolic-tiny was not trained on. A frame is a note (or an event)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Self

import numpy as np

from mech_music.base.errors import UserError, unknown
from mech_music.models.symbolic.attributes import ATTRIBUTES
from mech_music.models.symbolic.forms import CUED, FREE, N_SECTIONS, TOLD
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import GRID, SECTION_BARS, Piece, compose
from mech_music.models.symbolic.tokens import Tokens
from mech_music.models.symbolic.training import HELD_OUT
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.models.protocol import Generator
    from mech_music.prompts.prompt_set import PromptSet

_VERSION = 2  # raise it when a change of this code changes a piece
_BEAT = 2  # positions of the grid
_BEATS = {"three-four": 3, "four-four": 4}
_FORMS = {"told": TOLD, "hinted": (CUED,), "blind": (FREE,)}


class SymbolicPieces:
    """Sixteen bars of melody and bass in four sections (`mech_music.models.symbolic.pieces`), each piece a track.

    In *hinted* pieces the last bar of a section may be its own, to announce the next. Where nothing begins on a beat,
    its frame is that of the beat before.
    """

    def __init__(self, study: PromptSet, regimes: Sequence[str], seed: int) -> None:
        if wrong := [regime for regime in regimes if regime not in _FORMS]:
            raise UserError(unknown("regime of pieces=symbolic", wrong[0], tuple(_FORMS)))
        if not regimes:
            raise UserError(f"pieces.regimes=[]: name some of {', '.join(_FORMS)}")
        self._study, self._regimes, self._seed = study, tuple(regimes), seed
        self.id = f"symbolic {_VERSION} {self._regimes} {seed} {study.template}"

    @classmethod
    def from_run(cls, run: RunConfig, regimes: Sequence[str] = tuple(_FORMS), seed: int = 2024) -> Self:
        """Prompts are the run's prompt set's."""
        return cls(run.study, regimes, seed)

    def load(self, n: int, generator: Generator) -> list[AnnotatedPiece]:
        """The first ``n``, of each regime in turn. UserError for a model that does not write their notes."""
        if not isinstance(generator, SymbolicGenerator) or generator.decoder.grid != GRID:
            raise UserError(
                "pieces=symbolic: these are notes of model=symbolic-tiny; use it, or the model's own pieces"
            )
        if set(self._study.places) != set(ATTRIBUTES):
            raise UserError(
                f"pieces=symbolic: the prompts of prompt_set={self._study.name} do not name what a piece is; use "
                "prompt_set=symbolic"
            )
        return [self._piece(number, generator) for number in range(n)]

    def _piece(self, number: int, generator: SymbolicGenerator) -> AnnotatedPiece:
        regime = self._regimes[number % len(self._regimes)]
        form = Random(f"{self._seed}/form/{number}").choice(_FORMS[regime])
        piece = compose(self._seed, HELD_OUT + number, {"form": form})
        prompt = self._study.fill({name: piece.attributes[name] for name in ATTRIBUTES}).text
        notes, tokens = sorted(piece.notes), generator.decoder.tokens
        codes = np.array(tokens.encode(notes)).T
        if codes.shape[1] > (most := generator.decoder.shape.context):
            raise UserError(f"pieces=symbolic: a piece has {codes.shape[1]} tokens, the model's context {most}")
        positions = _BEAT * _BEATS[piece.attributes["metre"]]
        beats = [(bar, at) for bar in range(GRID.bars) for at in range(0, positions, _BEAT)]
        frames = _frames(notes, tokens, beats)
        return AnnotatedPiece(
            name=f"{regime}-{number}",
            track=str(number),
            regime=regime,
            prompt=prompt,
            frame_rate=generator.frame_rate,
            sections=_sections(piece, [*_bars(frames, beats), codes.shape[1]]),
            beats=tuple(frames),
            codes=codes,
            bars=tuple(_bars(frames, beats)),
        )


def _bars(frames: Sequence[int], beats: Sequence[tuple[int, int]]) -> list[int]:
    return [frame for frame, (_, at) in zip(frames, beats, strict=True) if at == 0]


def _frames(notes: Sequence[Note], tokens: Tokens, beats: Sequence[tuple[int, int]]) -> list[int]:
    """The frame of each beat: where the tokens of its first note begin."""
    begins: dict[tuple[int, int], int] = {}
    for place, note in enumerate(notes):
        begins.setdefault((note.bar, note.position), len(tokens.encode(notes[:place])) if place else 0)
    found = list[int]()
    for beat in beats:
        found.append(begins.get(beat, found[-1] if found else 0))
    return found


def _sections(piece: Piece, bars: Sequence[int]) -> tuple[Section, ...]:
    """``bars``: where each bar begins, and the end."""
    edges = [bars[number * SECTION_BARS] for number in range(N_SECTIONS + 1)]
    lasts = [bars[(number + 1) * SECTION_BARS - 1] for number in range(N_SECTIONS)]
    return tuple(
        Section(start, end, Kind(section.kind), section.source, section.semitones, section.rewritten * (end - last))
        for section, start, end, last in zip(piece.sections, edges[:-1], edges[1:], lasts, strict=True)
    )
