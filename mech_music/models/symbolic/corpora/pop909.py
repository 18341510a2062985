"""POP909 from the folder that the user fetched: melodies over the roots of their chords, with the phrases that the
first annotator heard."""

from __future__ import annotations

from mech_music.base.errors import UserError
from mech_music.models.symbolic.corpora.scores import Heard, Reading, Score
from mech_music.structure.pieces.pop909.songs import SIXTEENTHS, Song, read_songs

_LOWEST_ROOT = 33


def pop909(path: str, limit: int) -> Reading:
    """Each song is a piece. ``limit``: 0 for all songs."""
    if not path:
        raise UserError("corpus=pop909 needs corpus.path=<the folder POP909 of hierarchical-structure-analysis>")
    try:
        songs = read_songs(path)
    except UserError as error:
        raise UserError(str(error).replace("pieces.path", "corpus.path")) from None
    return Reading([_score(song) for song in songs[: limit or None]], [])


def _score(song: Song) -> Score:
    melody = tuple(Heard(note.start / SIXTEENTHS, note.length / SIXTEENTHS, note.pitch) for note in song.melody)
    roots = tuple(
        Heard(chord.start / SIXTEENTHS, chord.length / SIXTEENTHS, _LOWEST_ROOT + (chord.root - _LOWEST_ROOT) % 12)
        for chord in song.chords
        if chord.classes
    )
    letters = [""] * song.bars
    for phrase in song.phrases[0]:
        if phrase.lettered:
            letters[phrase.start : phrase.end] = [phrase.letter] * (phrase.end - phrase.start)
    return Score(song.name, (song.metre, 4), (melody, roots), tuple(letters))
