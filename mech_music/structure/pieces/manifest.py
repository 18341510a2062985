"""Recordings whose music is labelled: what a manifest says of each, checked before it is used.

The manifest is that of audio corpora (`mech_music.saes.corpus`): a CSV with ``path``, ``licence`` and ``sha256``, and
if need be ``track`` and ``split``; here with a ``source`` of every file as well. Splits keep tracks whole.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.saes.corpus import check_splits, facts_of, in_folder, in_manifest, usable

MANIFEST = "manifest.csv"
_SHORTEST = 1.0  # seconds
_COLUMNS = ("path", "licence", "source", "sha256", "track", "split")


@dataclass(frozen=True)
class Recording:
    """A file, by its path from the manifest's folder on (``name``). ``split``: train or test; empty if nobody says."""

    name: str
    path: Path
    sha256: str
    licence: str
    source: str
    track: str
    split: str
    seconds: float

    @property
    def sample_rate(self) -> int:
        """Hz. UserError if the file cannot be read."""
        return self.sound(0.0, 0.0)[1]

    def sound(self, start: float = 0.0, end: float | None = None) -> tuple[Float32[np.ndarray, " sample"], int]:
        """Mono, from ``start`` to ``end`` seconds, and its sample rate. UserError if it cannot be read."""
        import soundfile

        try:
            with soundfile.SoundFile(self.path) as file:
                file.seek(min(round(start * file.samplerate), file.frames))
                n = -1 if end is None else max(0, round((end - start) * file.samplerate))
                return file.read(n, dtype="float32", always_2d=True).mean(1), file.samplerate
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"'{self.path}' cannot be read ({first_line(error)}): put it back") from None


def open_manifest(path: str | Path, setting: str = "manifest") -> list[Recording]:
    """The recordings of a manifest, or of a folder that has one (``manifest.csv``), in its order.

    UserError, naming the file: no licence or source, a track in two splits, audio that cannot be read, or content other
    than the SHA-256 says.
    """
    place = user_path(path)
    manifest = place / MANIFEST if place.is_dir() else place
    where = f"{setting}={path}"
    if place.is_dir() and not manifest.is_file():
        raise UserError(f"{where}: no {MANIFEST} in this folder; write it with: mech-music review manifest {path} "
                        "licence=… source=…")  # fmt: skip
    files = in_manifest(manifest, setting)
    check_splits(where, files)
    facts = facts_of(manifest, files)
    kept = usable(where, files, facts, _SHORTEST, skip=False)
    found = []
    for file in kept:
        name = file.path.relative_to(manifest.parent).as_posix()
        source = dict(file.words).get("source", "")
        if not source:
            raise UserError(f"{where}: '{name}' has no source: say where the file comes from, in the column source")
        split = "" if file.held_out is None else "test" if file.held_out else "train"
        known = facts[file.path]
        found.append(Recording(name, file.path, known.sha256, file.licence, source, file.track, split, known.seconds))
    return found


def write_manifest(folder: Path, licence: str, source: str) -> Path:
    """A manifest of all audio files of a folder, which have one licence and one source. What is there is not replaced.

    UserError for a folder without audio files, or with a manifest.
    """
    if (folder / MANIFEST).exists():
        raise UserError(f"'{folder / MANIFEST}' is there already: edit it, or remove it first")
    if not folder.is_dir():
        raise UserError(f"'{folder}' is no folder: name one with audio files")
    lines = []
    for file in in_folder(folder):
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        name = file.path.relative_to(folder).as_posix()
        lines.append(dict(zip(_COLUMNS, (name, licence, source, digest, name, ""), strict=True)))
    write_csv(folder / MANIFEST, _COLUMNS, lines)
    return folder / MANIFEST


def write_csv(path: Path, columns: Sequence[str], lines: Sequence[dict[str, object]]) -> None:
    """A table, whole or not at all."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as written:
        writer = csv.DictWriter(written, columns)
        writer.writeheader()
        writer.writerows(lines)
