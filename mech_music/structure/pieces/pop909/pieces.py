"""Annotated pieces from POP909: phrases of one letter are returns, as one of the annotators heard them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from jaxtyping import Float32

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind
from mech_music.structure.pieces.pop909.midi import NotAligned, arrangement
from mech_music.structure.pieces.pop909.songs import Song, read_songs
from mech_music.structure.pieces.pop909.sound import SAMPLE_RATE, song_audio
from mech_music.structure.pieces.windows import Labelled, Span, windows

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.models.protocol import Generator

log = logging.getLogger(__name__)
_VERSION = 1  # raise it when a change of this code changes a piece


class Pop909Pieces:
    """Songs of the folder ``path``, played by the synthesiser, cut into stretches of ``seconds``.

    ``midi``: a folder of POP909-Dataset, whose full arrangements are played; else melody and chords are. ``annotator``:
    1 or 2. ``voice``: of the melody, without ``midi``.
    """

    def __init__(self, path: str, midi: str | None, seconds: float, annotator: int, voice: str, prompt: str) -> None:
        if annotator not in (1, 2):
            raise UserError(f"pieces.annotator={annotator}: expected 1 or 2")
        if not seconds > 0:
            raise UserError(f"pieces.seconds={seconds:g}: expected seconds above 0")
        self._songs, self._midi = read_songs(path), None if midi is None else user_path(midi)
        self._path, self._seconds, self._annotator = path, seconds, annotator
        self._voice, self._prompt = voice, prompt
        digest = hashlib.sha256(repr(self._songs).encode()).hexdigest()[:24]
        played = voice if self._midi is None else self._midi_digest(self._midi)
        self.id = f"pop909 {_VERSION} {digest} {played} {seconds} {annotator} {prompt}"

    @classmethod
    def from_run(
        cls, run: RunConfig, path: str | None = None, midi: str | None = None, seconds: float = 30.0,
        annotator: int = 1, voice: str = "piano", prompt: str = "",
    ) -> Self:  # fmt: skip
        """From ``conf/pieces/pop909.yaml``. UserError without a path."""
        if not path:
            raise UserError("pieces=pop909 needs pieces.path=<the folder POP909 of hierarchical-structure-analysis>")
        return cls(path, midi, seconds, annotator, voice, prompt)

    def _midi_digest(self, folder: Path) -> str:
        """Of the songs' files, which decide what is heard."""
        content = hashlib.sha256()
        for song in self._songs:
            content.update(_midi_file(folder, song.name).read_bytes())
        return f"midi {content.hexdigest()[:24]}"

    def load(self, n: int, generator: Generator) -> list[AnnotatedPiece]:
        """The first ``n`` stretches, song after song. UserError where there are fewer."""
        found = list(islice(self._pieces(generator), n))
        if len(found) < n:
            raise UserError(
                f"pieces.path={self._path}: {len(self._songs)} songs have {len(found)} stretches of {self._seconds:g} "
                f"s with a return and its source, not {n}: take longer ones (pieces.seconds)"
            )
        return found

    def _pieces(self, generator: Generator) -> Iterator[AnnotatedPiece]:
        for song in self._songs:
            try:
                yield from windows(self._labelled(song), self._seconds, generator)
            except NotAligned as error:
                log.warning("song %s is left out: %s", song.name, error)

    def _labelled(self, song: Song) -> Labelled:
        audio: list[Float32[np.ndarray, " sample"]] = []

        def sound(start: float, end: float) -> tuple[Float32[np.ndarray, " sample"], int]:
            if not audio:  # only of songs that have a stretch
                audio.append(self._audio(song))
            return audio[0][round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], SAMPLE_RATE

        beats = (np.arange(song.bars * song.metre) * 60 / song.tempo).tolist()
        spans, seconds = spans_of(song, self._annotator - 1), song.bars * song.bar_seconds
        return Labelled(song.name, song.name, self._prompt, seconds, spans, beats, beats[:: song.metre], sound)

    def _audio(self, song: Song) -> Float32[np.ndarray, " sample"]:
        if self._midi is None:
            return song_audio(song, self._voice)
        return arrangement(song, _midi_file(self._midi, song.name))


def spans_of(song: Song, annotator: int) -> list[Span]:
    """Its phrases in seconds: returns of the latest earlier phrase of their letter, in whatever key; others new."""
    phrases, found = song.phrases[annotator], []
    for phrase in phrases:
        start, end = phrase.start * song.bar_seconds, phrase.end * song.bar_seconds
        source = phrase.source_in(phrases)
        semitones = 0 if source is None else song.semitones(phrases[source], phrase)
        kind = Kind.new if source is None else Kind.transposed if semitones else Kind.exact
        found.append(Span(start, end, kind, source, semitones))
    return found


def _midi_file(folder: Path, name: str) -> Path:
    tried = [folder / "POP909" / name / f"{name}.mid", folder / name / f"{name}.mid"]
    if not (found := [path for path in tried if path.is_file()]):
        raise UserError(f"pieces.midi={folder}: no {name}/{name}.mid in this folder; expected POP909-Dataset's POP909")
    return found[0]
