"""Annotated pieces from a folder of recordings: a manifest, and labels that people verified."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np

from mech_music.base.errors import UserError, unknown
from mech_music.base.paths import user_path
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind
from mech_music.structure.pieces.labels import LABELS, Label, State, read_labels
from mech_music.structure.pieces.manifest import Recording, open_manifest
from mech_music.structure.pieces.windows import Labelled, Span, windows

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.models.protocol import Generator

_VERSION = 1  # raise it when a change of this code changes a piece
_MOMENT = 0.5  # seconds
_SPLITS = ("train", "test", "all")
_UNREVIEWED = ("refuse", "drop")


class ReviewedPieces:
    """Recordings of ``path`` (a folder with manifest.csv and labels.csv), cut into stretches of ``seconds``.

    A verified return makes a section of either place; the second place of a verified negative is a new section. Pairs
    that are ambiguous or rejected are left out, and so is what overlaps a place that is kept. ``split``: train, test or
    all. ``unreviewed``: refuse labels that nobody verified, or drop them. Nobody wrote down beats: every half second
    stands for one.
    """

    def __init__(self, path: str, seconds: float, split: str, unreviewed: str, prompt: str) -> None:
        for name, value, allowed in (("split", split, _SPLITS), ("unreviewed", unreviewed, _UNREVIEWED)):
            if value not in allowed:
                raise UserError(unknown(f"pieces.{name}", value, allowed))
        if not seconds > 0:
            raise UserError(f"pieces.seconds={seconds:g}: expected seconds above 0")
        recordings = open_manifest(path, "pieces.path")
        folder = user_path(path)
        folder = folder if folder.is_dir() else folder.parent
        self._path, self._seconds, self._prompt = path, seconds, prompt
        self._recordings = [one for one in recordings if split == "all" or one.split in (split, "")]
        self._labels = _checked(path, recordings, read_labels(folder), unreviewed)
        kept = {one.name for one in self._recordings}
        said = (
            [(one.sha256, one.track) for one in self._recordings],
            [one for one in self._labels if one.recording in kept],
        )
        digest = hashlib.sha256(repr(said).encode()).hexdigest()[:24]
        self.id = f"folder {_VERSION} {digest} {seconds} {prompt}"

    @classmethod
    def from_run(
        cls, run: RunConfig, path: str | None = None, seconds: float = 30.0, split: str = "all",
        unreviewed: str = "refuse", prompt: str = "",
    ) -> Self:  # fmt: skip
        """From ``conf/pieces/folder.yaml``. UserError without a path."""
        if not path:
            raise UserError("pieces=folder needs pieces.path=<folder with manifest.csv and labels.csv>")
        return cls(path, seconds, split, unreviewed, prompt)

    def load(self, n: int, generator: Generator) -> list[AnnotatedPiece]:
        """The first ``n`` stretches in the manifest's order. UserError where there are fewer."""
        found = list(islice(self._pieces(generator), n))
        if len(found) < n:
            raise UserError(
                f"pieces.path={self._path}: {len(found)} stretches of {self._seconds:g} s have a verified return with "
                f"its source, not {n}: review more, or take longer ones (pieces.seconds)"
            )
        return found

    def _pieces(self, generator: Generator):
        for recording in self._recordings:
            spans = spans_of([label for label in self._labels if label.recording == recording.name])
            moments = np.arange(0.0, recording.seconds, _MOMENT).tolist()
            labelled = Labelled(
                recording.name, recording.track, self._prompt, recording.seconds, spans, moments, (), recording.sound
            )
            yield from windows(labelled, self._seconds, generator)


def _checked(path: str, recordings: Sequence[Recording], labels: Sequence[Label], unreviewed: str) -> list[Label]:
    """The labels that count. UserError for one of another file, outside its recording, or that nobody verified."""
    known = {one.name: one for one in recordings}
    for label in labels:
        of = known.get(label.recording)
        if of is None or of.sha256 != label.sha256:
            raise UserError(
                f"pieces.path={path}: {LABELS} is of other recordings: '{label.recording}' is not one of the "
                "manifest's, or has other content; write it anew with mech-music review labels"
            )
        if label.second_end > of.seconds + 0.5:
            raise UserError(
                f"pieces.path={path}: {LABELS} has a place up to {label.second_end:.2f} s in '{label.recording}', "
                f"which ends at {of.seconds:.2f} s: mend it"
            )
    waiting = [label for label in labels if label.state is State.unverified]
    if waiting and unreviewed == "refuse":
        raise UserError(
            f"pieces.path={path}: {len(waiting)} of {len(labels)} labels are unreviewed, the first in "
            f"'{waiting[0].recording}' at {waiting[0].second_start:.2f} s: review them (mech-music review), or leave "
            "them out with pieces.unreviewed=drop"
        )
    return [label for label in labels if label.verified]


def spans_of(labels: Sequence[Label]) -> list[Span]:
    """The sections of one recording, in order; what overlaps a place that is kept already is left out. Returns first,
    by place, then negatives."""
    places: list[tuple[float, float]] = []
    said: dict[tuple[float, float], tuple[tuple[float, float], int]] = {}

    def fits(place: tuple[float, float]) -> bool:
        return place in places or all(place[1] <= one[0] or one[1] <= place[0] for one in places)

    ordered = sorted(labels, key=lambda one: (one.state is not State.positive, one.second_start, one.first_start))
    for label in ordered:
        first, second = (label.first_start, label.first_end), (label.second_start, label.second_end)
        if label.state is State.negative:
            if fits(second) and second not in places:
                places.append(second)
        elif fits(first) and fits(second) and second not in said and first[1] <= second[0]:
            places += [one for one in (first, second) if one not in places]
            said[second] = first, label.semitones
    places.sort()
    return [_span(place, places, said.get(place)) for place in places]


def _span(
    place: tuple[float, float], places: Sequence[tuple[float, float]], of: tuple[tuple[float, float], int] | None
) -> Span:
    if of is None:
        return Span(*place, Kind.new)
    source, semitones = of
    return Span(*place, Kind.transposed if semitones else Kind.exact, list(places).index(source), semitones)
