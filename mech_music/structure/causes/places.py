"""Where a return's earlier music is among the positions that attention sees, and which places it is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int64

from mech_music.models.protocol import Generator
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section

REACH = 8
"""Positions before and after a source that attention is told of."""


@dataclass(frozen=True)
class Steps:
    """Where frames are among autoregressive steps: the token of frame t in codebook k is drawn at step
    ``t + first[k]`` and read, as the input of a position, at the step after that.

    (Codebooks lag behind each other in a delay pattern; control tokens stand before the music.)
    """

    first: tuple[int, ...]
    n_frames: int

    @classmethod
    def of(cls, generator: Generator, n_frames: int) -> Steps:
        """Those of a generator's clips."""
        return cls(tuple(generator.sampled_positions(n_frames).int().argmax(1).tolist()), n_frames)

    @property
    def n_steps(self) -> int:
        return self.n_frames + max(self.first)

    def within(self, start: int, end: int) -> range:
        """The steps at which every codebook draws one of the frames ``start`` to ``end``."""
        return range(start + max(self.first), end + min(self.first))

    def touching(self, start: int, end: int) -> range:
        """The steps at which some codebook does."""
        return range(start + min(self.first), end + max(self.first))


def root_of(piece: AnnotatedPiece, number: int) -> int:
    """The new section that a section goes back to, over returns and decoys."""
    while (source := piece.sections[number].source) is not None:
        number = source
    return number


def music_of(piece: AnnotatedPiece, number: int) -> int:
    """The section whose music it is: its own number, unless it is a return."""
    while piece.sections[number].kind.returns and (source := piece.sections[number].source) is not None:
        number = source
    return number


def returns_of(piece: AnnotatedPiece) -> list[int]:
    """The numbers of the sections that are an earlier one's music."""
    return [number for number, section in enumerate(piece.sections) if section.kind.returns]


def new_of(piece: AnnotatedPiece) -> list[Section]:
    """The new sections that returns are compared with: not the first, which nothing stands before."""
    return [section for section in piece.sections[1:] if section.kind is Kind.new]


def earlier_of(piece: AnnotatedPiece, number: int) -> list[int]:
    """The numbers of the sections before a return that have its music: its source, and that one's other returns."""
    return [place for place in range(number) if music_of(piece, place) == music_of(piece, number)]


def lags_of(piece: AnnotatedPiece, number: int) -> list[int]:
    """Frames from each of these to the return."""
    return [piece.sections[number].start - piece.sections[place].start for place in earlier_of(piece, number)]


def returning_steps(piece: AnnotatedPiece, steps: Steps) -> Iterator[tuple[int, int]]:
    """Each step that draws a return and nothing else (nor its cadence), and the section's number."""
    for number in returns_of(piece):
        own = piece.sections[number].proper
        for step in steps.within(own.start, own.stop):
            yield step, number


@dataclass(frozen=True)
class Places:
    """Positions that attention is summed at, for each step; ``weight`` 0 where there are none."""

    index: Int64[np.ndarray, "step place"]
    weight: Float32[np.ndarray, "step place"]

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, float]], n_steps: int) -> Places:
        """From (step, position, weight); places in the order in which they come."""
        counts, most = np.zeros(n_steps, int), max(Counter(step for step, _, _ in found).values(), default=1)
        index, weight = np.zeros((n_steps, most), np.int64), np.zeros((n_steps, most), np.float32)
        for step, position, share in found:
            index[step, counts[step]], weight[step, counts[step]] = position, share
            counts[step] += 1
        return cls(index, weight)

    @property
    def steps(self) -> Int[np.ndarray, " step"]:
        """The steps that have places."""
        return np.flatnonzero(self.weight.any(1))


def around_source(piece: AnnotatedPiece, steps: Steps) -> Places:
    """For each step of a return, `REACH` positions before to after the one that read what its music has there; those of
    each earlier section with that music one after the other.

    The token that a step is to draw was read at ``step − lag + 1`` (prefix matching: Olsson et al., "In-context
    Learning and Induction Heads", 2022); the place before that is where it was drawn.
    """
    width = 2 * REACH + 1
    most = max((len(lags_of(piece, number)) for number in returns_of(piece)), default=1)
    index, weight = np.zeros((2, steps.n_steps, most * width))
    for step, number in returning_steps(piece, steps):
        for place, lag in enumerate(lags_of(piece, number)):
            there = step - lag + 1 + np.arange(-REACH, REACH + 1)
            own, good = slice(place * width, (place + 1) * width), (there >= 0) & (there <= step)
            index[step, own], weight[step, own] = np.where(good, there, 0), good
    return Places(index.astype(np.int64), weight.astype(np.float32))


def elsewhere(piece: AnnotatedPiece, steps: Steps) -> Places:
    """Control: for each step of a return, the same place of the other earlier sections, of other music.

    The mean over them, as often as the return's own music was there before: attention to `around_source` is a sum.
    """
    found = []
    for step, number in returning_steps(piece, steps):
        start, back = piece.sections[number].start, []
        for place, other in enumerate(piece.sections[:number]):
            alike = root_of(piece, place) == root_of(piece, number)
            if not alike and step in steps.within(start, start + other.end - other.start):
                back.append(step - (start - other.start) + 1)
        share = len(lags_of(piece, number)) / max(len(back), 1)
        found += [(step, position, share) for position in back]
    return Places.of(found, steps.n_steps)


def same_lag(piece: AnnotatedPiece, steps: Steps) -> Places:
    """Control: for each step of a new section, as far back as the music of the piece's returns is.

    The mean over these lags, as often as a return of the piece has earlier music (its mean).
    """
    by_return = [lags_of(piece, number) for number in returns_of(piece)]
    lags, often = sorted({lag for own in by_return for lag in own}), np.mean([len(own) for own in by_return] or [0])
    found = []
    for section in new_of(piece):
        for step in steps.within(section.proper.start, section.proper.stop):
            back = [step - lag + 1 for lag in lags if step - lag >= min(steps.first)]
            found += [(step, position, float(often) / len(back)) for position in back]
    return Places.of(found, steps.n_steps)


def recent(piece: AnnotatedPiece, steps: Steps, n: int) -> Places:
    """The last ``n`` positions, the step's own among them, of each step that draws the piece."""
    drawn = steps.within(0, piece.n_frames)
    return Places.of([(step, step - k, 1.0) for step in drawn for k in range(min(n, step + 1))], steps.n_steps)


def beat_of(piece: AnnotatedPiece, steps: Steps) -> Int64[np.ndarray, " step"]:
    """The beat that each position belongs to (that of the first codebook's frame that it reads); −1 before the music.

    Zero throughout where beats are not known.
    """
    frames = np.arange(steps.n_steps) - steps.first[0] - 1
    beats = np.searchsorted(np.asarray(piece.beats, float), frames, side="right") - 1
    return np.where(frames < 0, -1, np.maximum(beats, 0)).astype(np.int64)


def measured_frames(piece: AnnotatedPiece, settle: int) -> Float[np.ndarray, "kind frame"]:
    """Which frames count for each kind of section: all but those of its first ``settle`` beats, which no model can
    know yet, and of its cadence. Nothing of the first section, which has nothing before it."""
    found = np.zeros((len(Kind), piece.n_frames))
    for section in piece.sections[1:]:
        beats = sorted({beat for beat in piece.beats if section.start < beat < section.end})
        start = section.start if not settle else beats[settle - 1] if settle <= len(beats) else section.end
        frames = slice(start if piece.beats else section.start, section.proper.stop)
        found[list(Kind).index(section.kind), frames] = 1.0
    return found
