"""Scores on a grid: two tracks, stretches of up to sixteen bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mech_music.base.errors import UserError
from mech_music.models.symbolic.corpora.scores import Heard, Score
from mech_music.models.symbolic.notes import Grid, Note, Track

MELODY, BASS = 0, 1
BARS, LEAST_BARS = 16, 8
MOST_PARTS = 16
_METRES = {(3, 4): "three-four", (4, 4): "four-four"}
_TRACKS = (Track("melody", 36, 100, "piano"), Track("bass", 24, 76, "bass"))
_QUARTERS = 4  # of the longest bar
_NEAR = 1e-3  # positions: what is nearer to the grid than this is on it


def grid_of(positions: int) -> Grid:
    """Sixteen bars of so many positions (8: eighths, 16: sixteenths; of four-four)."""
    if positions not in (8, 16):
        raise UserError(f"corpus.positions={positions}: expected 8 (eighths) or 16 (sixteenths)")
    return Grid(BARS, positions, positions, _TRACKS, position_frames=48 // positions)


@dataclass(frozen=True)
class Stretch:
    """Bars ``first`` on of a score, on the grid. ``attributes``: what a prompt can say. ``letters``: a bar each."""

    score: str
    first: int
    notes: tuple[Note, ...]
    attributes: Mapping[str, str]
    letters: tuple[str, ...] = ()

    @property
    def n_bars(self) -> int:
        return self.notes[-1].bar + 1

    def shifts(self, grid: Grid) -> range:
        """Transpositions from −6 to 5 semitones with which every note stays on the grid."""
        tracks = [(grid.tracks[note.track], note.pitch) for note in self.notes]
        down = min(6, min(pitch - track.lowest for track, pitch in tracks))
        return range(-down, min(5, min(track.highest - pitch for track, pitch in tracks)) + 1)

    def transposed(self, semitones: int) -> Stretch:
        """The same music in another key."""
        return replace(self, notes=tuple(note.moved(semitones) for note in self.notes))


def fit(score: Score, grid: Grid) -> list[Stretch]:
    """The stretches of a score that have no empty bar, 8 to 16 bars each, one after the other; none where it is short.

    The part that is highest on average is the melody, the lowest the bass, what is between them is left out; a track
    has one note at a time. UserError for a score without notes, with too many parts, or that the grid cannot hold.
    """
    parts = [part for part in score.parts if part]
    if not parts:
        raise UserError(f"'{score.name}' has no notes: leave it out")
    if len(parts) > MOST_PARTS:
        raise UserError(
            f"'{score.name}' has {len(parts)} tracks with notes: which are melody and bass is guessed among at most "
            f"{MOST_PARTS}; keep those that matter"
        )
    per_bar = score.bar * grid.positions / _QUARTERS
    if per_bar > grid.positions or per_bar % 1:
        beats, unit = score.metre
        raise UserError(
            f"'{score.name}' is in {beats}/{unit}: a bar of it is {per_bar:g} positions, and the grid holds whole ones "
            f"up to {grid.positions}; leave it out"
        )
    height = sorted(parts, key=lambda part: sum(note.pitch for note in part) / len(part))
    tracks = {MELODY: height[-1], **({BASS: height[0]} if len(parts) > 1 else {})}
    notes = [note for track, part in tracks.items() for note in _track(part, track, int(per_bar), grid)]
    _must_be_held(score.name, notes, grid)
    return _stretches(score, sorted(notes), grid)


def off_grid(score: Score, grid: Grid) -> tuple[int, int]:
    """How many onsets of a score are between two positions of the grid, and how many there are."""
    starts = [note.start * grid.positions / _QUARTERS for part in score.parts for note in part]
    return sum(abs(start - round(start)) > _NEAR for start in starts), len(starts)


def _track(part: Sequence[Heard], track: int, per_bar: int, grid: Grid) -> list[Note]:
    """At each onset the highest note of a melody, the lowest of a bass, each cut where the next begins."""
    each = grid.positions / _QUARTERS
    best: dict[int, Heard] = {}
    for note in part:
        at = round(note.start * each)
        kept = best.get(at)
        if at >= 0 and (kept is None or (note.pitch > kept.pitch) == (track == MELODY)):
            best[at] = note
    onsets = sorted(best)
    found = []
    for at, after in zip(onsets, [*onsets[1:], None], strict=True):
        length = min(max(1, round(best[at].length * each)), grid.longest, grid.longest if after is None else after - at)
        found.append(Note(at // per_bar, at % per_bar, track, best[at].pitch, length))
    return found


def _must_be_held(name: str, notes: Sequence[Note], grid: Grid) -> None:
    for note in notes:
        track = grid.tracks[note.track]
        if not track.lowest <= note.pitch <= track.highest:
            raise UserError(
                f"'{name}' has pitch {note.pitch} in its {track.name}, outside the vocabulary, which goes from "
                f"{track.lowest} to {track.highest}: transpose the piece, or leave it out"
            )


def _stretches(score: Score, notes: Sequence[Note], grid: Grid) -> list[Stretch]:
    by_bar: dict[int, list[Note]] = {}
    for note in notes:
        by_bar.setdefault(note.bar, []).append(note)
    known = {"metre": _METRES[score.metre]} if score.metre in _METRES else {}
    found, first = list[Stretch](), 0
    while first <= max(by_bar):
        last = first
        while last in by_bar and last - first < grid.bars:
            last += 1
        if last - first >= LEAST_BARS:
            moved = tuple(note.moved(bars=-first) for bar in range(first, last) for note in by_bar[bar])
            found.append(Stretch(score.name, first, moved, known, score.letters[first:last]))
        first = max(last, first + 1)
    return found
