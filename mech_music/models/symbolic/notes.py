"""Notes on a grid of bars and positions, and the grid that a model's tokens can write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from mech_music.base.errors import UserError


class Note(NamedTuple):
    """A note that begins in a bar (from 0) at a position of it. ``length``: in positions. Sorts as it is written."""

    bar: int
    position: int
    track: int
    pitch: int  # MIDI, 60 the middle C
    length: int

    def moved(self, semitones: int = 0, bars: int = 0) -> Note:
        """The same note higher, or later."""
        return Note(self.bar + bars, self.position, self.track, self.pitch + semitones, self.length)


@dataclass(frozen=True)
class Track:
    """An instrument and the pitches that it has, both ends included. ``voice``: the synthesiser's."""

    name: str
    lowest: int
    highest: int
    voice: str = "piano"

    @property
    def n_pitches(self) -> int:
        return self.highest - self.lowest + 1


@dataclass(frozen=True)
class Grid:
    """What can be written: ``bars`` of at most ``positions`` each, notes of at most ``longest`` positions.

    ``position_frames``: how long a position sounds, in frames of the synthesiser (40 ms).
    """

    bars: int
    positions: int
    longest: int
    tracks: tuple[Track, ...]
    position_frames: int = 6

    @property
    def n_pitches(self) -> int:
        """Pitches of all tracks together: a track's pitch is one number."""
        return sum(track.n_pitches for track in self.tracks)

    @property
    def lowest(self) -> int:
        """The lowest pitch of all tracks."""
        return min(track.lowest for track in self.tracks)

    @property
    def widest(self) -> int:
        """Semitones between the lowest and the highest pitch of all tracks."""
        return max(track.highest for track in self.tracks) - self.lowest

    @property
    def onsets(self) -> int:
        """Places where a note can begin, those of one bar after the last among them: there the end stands."""
        return (self.bars + 1) * self.positions

    def pitch_number(self, note: Note) -> int:
        """A note's track and pitch as one number, the tracks one after the other."""
        before = sum(track.n_pitches for track in self.tracks[: note.track])
        return before + note.pitch - self.tracks[note.track].lowest

    @property
    def pitches(self) -> list[tuple[int, int]]:
        """``(track, MIDI pitch)`` of every number."""
        return [(at, pitch) for at, t in enumerate(self.tracks) for pitch in range(t.lowest, t.highest + 1)]

    def check(self, notes: Iterable[Note]) -> None:
        """UserError for the first note that the grid cannot hold."""
        for note in notes:
            if not (0 <= note.bar < self.bars and 0 <= note.position < self.positions):
                raise UserError(
                    f"a note begins in bar {note.bar + 1} at position {note.position}: the grid has {self.bars} bars "
                    f"of {self.positions} positions; cut the piece, or choose a model with a larger grid"
                )
            if not 0 <= note.track < len(self.tracks):
                raise UserError(f"a note is of track {note.track + 1}: the grid has {len(self.tracks)} tracks")
            track = self.tracks[note.track]
            if not track.lowest <= note.pitch <= track.highest:
                raise UserError(
                    f"pitch {note.pitch} of track '{track.name}' is outside the vocabulary, which goes from "
                    f"{track.lowest} to {track.highest}: transpose the piece"
                )
            if not 1 <= note.length <= self.longest:
                raise UserError(f"a note is {note.length} positions long: expected 1 to {self.longest}")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, to be written beside the weights."""
        return asdict(self)

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Grid:
        """From what `to_dict` gave."""
        return cls(**{**written, "tracks": tuple(Track(**track) for track in written["tracks"])})
