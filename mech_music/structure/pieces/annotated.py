"""Pieces of which it is known, frame by frame, what returns and whence: planted ones, or real ones with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Bool, Int

from mech_music.base.errors import UserError

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator


class Kind(StrEnum):
    """What a section is to an earlier one.

    ``decoy``: the harmony, rhythm and timbre of an earlier section with another melody. ``reorchestrated``: an earlier
    section's notes played by other instruments.
    """

    new = "new"
    exact = "exact"
    transposed = "transposed"
    reorchestrated = "reorchestrated"
    decoy = "decoy"

    @property
    def returns(self) -> bool:
        """Whether it is an earlier section's music."""
        return self in (Kind.exact, Kind.transposed, Kind.reorchestrated)


@dataclass(frozen=True)
class Section:
    """Frames ``start`` to ``end`` (exclusive) of the codec, or tokens of a symbolic model.

    ``source``: the number of the earlier section that it is like, None for a new one. ``semitones``: from there.
    ``cadence``: frames at its end that are its own whatever its source has, and so belong to no return.
    """

    start: int
    end: int
    kind: Kind
    source: int | None = None
    semitones: int = 0
    cadence: int = 0

    @property
    def proper(self) -> range:
        """Its frames but for the cadence."""
        return range(self.start, self.end - self.cadence)


@dataclass(frozen=True)
class AnnotatedPiece:
    """A piece as a model reads it, and what each of its sections is.

    ``track``: what it belongs to; splits keep tracks whole. ``regime``: how returns are announced: told (the prompt
    names the form), hinted (an open cadence before a return), blind (a coin decides), or "" for real music. ``beats``,
    ``bars``: the frame at which each begins; no bars where they are not known.

    UserError for sections that overlap, leave the piece, or name a source that is not earlier.
    """

    name: str
    track: str
    regime: str
    prompt: str
    frame_rate: float
    sections: tuple[Section, ...]
    beats: tuple[int, ...]
    codes: Int[np.ndarray, "codebook frame"] = field(repr=False, compare=False)
    bars: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        end = 0
        for number, section in enumerate(self.sections):
            if not end <= section.start < section.end <= self.n_frames:
                raise UserError(
                    f"piece '{self.name}': section {number} has frames {section.start} to {section.end}: sections go "
                    f"forward and end by frame {self.n_frames}"
                )
            if not 0 <= section.cadence < section.end - section.start:
                raise UserError(
                    f"piece '{self.name}': section {number} has a cadence of {section.cadence} frames: expected fewer "
                    f"than its {section.end - section.start}"
                )
            end = section.end
            earlier = section.source is None or 0 <= section.source < number
            if not earlier or (section.source is None) != (section.kind is Kind.new):
                raise UserError(
                    f"piece '{self.name}': section {number} is '{section.kind}' of section {section.source}: name an "
                    "earlier one, or none for a new section"
                )

    @property
    def n_frames(self) -> int:
        """Frames of all codebooks."""
        return self.codes.shape[1]

    def section_at(self, frame: int) -> Section | None:
        """The section that a frame is in; None between sections."""
        return next((one for one in self.sections if one.start <= frame < one.end), None)

    def source_frame(self, frame: int) -> int | None:
        """The earlier frame that a frame of a return (or decoy) is like; None for new ones."""
        section = self.section_at(frame)
        if section is None or section.source is None:
            return None
        earlier = self.sections[section.source]
        found = earlier.start + frame - section.start
        return found if found < earlier.end else None

    def returning(self) -> Bool[np.ndarray, " frame"]:
        """Which frames are an earlier section's music."""
        found = np.zeros(self.n_frames, bool)
        for section in self.sections:
            found[section.proper] = section.kind.returns
        return found


class Pieces(Protocol):
    """Where annotated pieces come from: planted ones by their number, or a folder's manifest.

    Made by a class method ``from_run(run, **settings)``; ``settings``: the other keys of ``conf/pieces/<name>.yaml``.
    ``id``: everything that decides the pieces; part of what is stored of them.
    """

    id: str

    def load(self, n: int, generator: Generator) -> Sequence[AnnotatedPiece]:
        """The first ``n`` pieces that no model was trained on. UserError where there are fewer."""
        ...
