"""Notes as tokens, and where in the music each token stands: note tokens and event tokens.

*Note tokens*: one step a note, with three codebooks: when (in the same bar or the next, at which position; or the
end), what (track and pitch as one number), how long. A note's codebooks are drawn at the same step, independently
given what was before. *Event tokens*: one codebook, one step an event: bar, position, pitch, length; end.

Decoding takes any tokens in range, whatever an edited or untrained model writes: what makes no note is passed over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.symbolic.notes import Grid, Note

NO_PITCH = -1


@dataclass(frozen=True)
class Places:
    """Where each token of a sequence stands: its number, bar, position in the bar, and MIDI pitch or `NO_PITCH`."""

    index: Int[Tensor, "row token"]
    bar: Int[Tensor, "row token"]
    position: Int[Tensor, "row token"]
    pitch: Int[Tensor, "row token"]

    def __getitem__(self, tokens: slice) -> Places:
        return Places(*(part[:, tokens] for part in (self.index, self.bar, self.position, self.pitch)))

    def after(self, n_controls: int) -> Places:
        """With so many tokens before them that are not of the music: at the beginning of the first bar."""
        pad = torch.nn.functional.pad
        rows, tokens = self.index.shape
        index = torch.arange(n_controls + tokens, device=self.index.device).expand(rows, -1)
        bar, position = (pad(part, (n_controls, 0)) for part in (self.bar, self.position))
        return Places(index, bar, position, pad(self.pitch, (n_controls, 0), value=NO_PITCH))


class Tokens(ABC):
    """One way to write the notes of a grid."""

    name: str
    n_codebooks: int

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._pitches = torch.tensor([pitch for _, pitch in grid.pitches])

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Tokens that each codebook uses; the model has the largest number for all."""

    @property
    @abstractmethod
    def end(self) -> tuple[int, ...]:
        """The frame that stands after the last note."""

    @abstractmethod
    def encode(self, notes: Sequence[Note]) -> list[tuple[int, ...]]:
        """Frames, without an end. UserError for notes that the grid cannot hold, and a bar that is passed over."""

    @abstractmethod
    def decode(self, tokens: Int[Tensor, "codebook frame"]) -> list[Note]:
        """The notes of one clip, up to the end."""

    @abstractmethod
    def places(self, tokens: Int[Tensor, "row codebook frame"]) -> Places:
        """Where each frame stands. What follows the end stays where the end is."""

    def tensor(self, notes: Sequence[Note], n_frames: int) -> Int[Tensor, "codebook frame"]:
        """Encoded, and filled with ends. UserError if there are more frames than that."""
        frames = self.encode(notes)
        if len(frames) > n_frames:
            raise UserError(f"a piece has {len(frames)} tokens, the clip {n_frames}: raise duration, or cut the piece")
        return torch.tensor(frames + [self.end] * (n_frames - len(frames))).reshape(n_frames, -1).T

    def _sorted(self, notes: Sequence[Note]) -> list[Note]:
        """In the order of writing; a bar without notes cannot be written."""
        self.grid.check(notes)
        ordered = sorted(notes)
        for before, after in zip([None, *ordered], ordered, strict=False):
            first = before.bar + 1 if before else 0
            if after.bar > first:
                raise UserError(f"bar {first + 1} has no note: this vocabulary writes pieces without empty bars")
        return ordered

    def _pitch(self, number: Int[Tensor, "row frame"]) -> Int[Tensor, "row frame"]:
        return self._pitches.to(number.device)[number.clamp(0, len(self._pitches) - 1)]

    def _note(self, bar: int, position: int, number: int, length: int) -> Note:
        track, pitch = self.grid.pitches[min(number, self.grid.n_pitches - 1)]
        return Note(bar, position, track, pitch, min(length, self.grid.longest))


class NoteTokens(Tokens):
    """``(when, what, how long)``. When: 0 to P − 1 in the same bar, P to 2P − 1 in the next, 2P the end."""

    name, n_codebooks = "note", 3

    @property
    def sizes(self) -> tuple[int, ...]:
        return 2 * self.grid.positions + 1, self.grid.n_pitches, self.grid.longest

    @property
    def end(self) -> tuple[int, ...]:
        return 2 * self.grid.positions, 0, 0

    def encode(self, notes: Sequence[Note]) -> list[tuple[int, ...]]:
        frames, bar = [], -1
        for note in self._sorted(notes):
            when = note.position + (self.grid.positions if note.bar > bar else 0)
            frames.append((when, self.grid.pitch_number(note), note.length - 1))
            bar = note.bar
        return frames

    def decode(self, tokens: Int[Tensor, "codebook frame"]) -> list[Note]:
        notes, bar = [], 0
        for place, (when, number, length) in enumerate(tokens.T.tolist()):
            if when >= 2 * self.grid.positions:
                break
            bar += int(when >= self.grid.positions and place > 0)
            notes.append(self._note(bar, when % self.grid.positions, number, length + 1))
        return notes

    def places(self, tokens: Int[Tensor, "row codebook frame"]) -> Places:
        when, number = tokens[:, 0], tokens[:, 1]
        ended, positions = when >= 2 * self.grid.positions, self.grid.positions
        new = (when >= positions) & ~ended
        bar = (new.cumsum(1) - new[:, :1].long()).clamp(0, self.grid.bars)
        index = torch.arange(tokens.shape[-1], device=tokens.device).expand(len(tokens), -1)
        position = torch.where(ended, 0, when % positions)
        return Places(index, bar, position, torch.where(ended, NO_PITCH, self._pitch(number)))


class EventTokens(Tokens):
    """A new bar and a position in it, where they change; then a pitch (of a track) and a length for each note."""

    name, n_codebooks = "event", 1
    BAR = 0

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self.position0 = 1
        self.pitch0 = self.position0 + grid.positions
        self.length0 = self.pitch0 + grid.n_pitches

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.length0 + self.grid.longest + 1,)

    @property
    def end(self) -> tuple[int, ...]:
        return (self.length0 + self.grid.longest,)

    def encode(self, notes: Sequence[Note]) -> list[tuple[int, ...]]:
        events, bar, position = [], -1, -1
        for note in self._sorted(notes):
            if note.bar > bar:
                events.append(self.BAR)
                bar, position = note.bar, -1
            if note.position > position:
                events.append(self.position0 + note.position)
                position = note.position
            events += [self.pitch0 + self.grid.pitch_number(note), self.length0 + note.length - 1]
        return [(event,) for event in events]

    def decode(self, tokens: Int[Tensor, "codebook frame"]) -> list[Note]:
        notes, bar, position, number = [], -1, 0, None
        for event in tokens[0].tolist():
            if event >= self.end[0]:
                break
            if event == self.BAR:
                bar, position, number = bar + 1, 0, None
            elif event < self.pitch0:
                position, number = event - self.position0, None
            elif event < self.length0:
                number = event - self.pitch0
            elif number is not None:
                notes.append(self._note(max(bar, 0), position, number, event - self.length0 + 1))
                number = None
        return notes

    def places(self, tokens: Int[Tensor, "row codebook frame"]) -> Places:
        event = tokens[:, 0]
        index = torch.arange(event.shape[1], device=event.device).expand(len(event), -1)
        bar = ((event == self.BAR).cumsum(1) - 1).clamp(0, self.grid.bars)
        stands = (event >= self.position0) & (event < self.pitch0)
        position = _last(torch.where(event == self.BAR, 0, event - self.position0), stands | (event == self.BAR))
        sounds = (event >= self.pitch0) & (event < self.length0)
        ends = (event >= self.length0) & (event < self.end[0])
        pitch = _last(self._pitch(event - self.pitch0), sounds)
        return Places(index, bar, position, torch.where(sounds | (ends & (index > 0)), pitch, NO_PITCH))


def _last(value: Int[Tensor, "row token"], given: Tensor) -> Int[Tensor, "row token"]:
    """At each token the latest value that was given up to it; 0 where there was none."""
    at = torch.where(given, torch.arange(value.shape[1], device=value.device), -1).cummax(1).values
    return torch.where(at >= 0, value.gather(1, at.clamp(min=0)), 0)


KINDS = {kind.name: kind for kind in (NoteTokens, EventTokens)}
