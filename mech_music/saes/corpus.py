"""A corpus of audio files, opened: a folder, or a manifest that says what its files are; checked before it is used.

A manifest is a CSV with the columns ``path`` (from its own folder on), ``licence`` and ``sha256``, and if need be
``track`` (the recording that a file belongs to; by default the file itself), ``split`` (train or test) and ``prompt``;
any other column is what is known of a clip, by category (genre, instrument, …).
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.base.machine import n_cores
from mech_music.config.paths import default_store_dir
from mech_music.edits.excerpt import Excerpt
from mech_music.saes.named import GivenClip
from mech_music.saes.progress import progress

log = logging.getLogger(__name__)
KINDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
_NEEDED, _OPTIONAL = ("path", "licence", "sha256"), ("track", "split", "prompt")
_SPLITS = {"train": False, "test": True}
_NAMED = 3  # files that an error names
_SETTING, _GO_ON = "sae.corpus", ", or go on without them: sae.skip_unreadable=true"
_BLOCK = 2**18  # samples that are looked at at once


@dataclass(frozen=True)
class AudioFile:
    """A file, as the manifest or the folder has it; ``held_out``: None where nobody says."""

    path: Path
    track: str
    sha256: str = ""
    held_out: bool | None = None
    prompt: str | None = None
    words: tuple[tuple[str, str], ...] = ()
    licence: str = ""


@dataclass(frozen=True)
class Facts:
    """What is in a file of this size that was changed then. ``wrong``: why it cannot be used, else empty."""

    size: int
    changed: int
    sha256: str = ""
    seconds: float = 0.0
    wrong: str = ""


@dataclass(frozen=True)
class OpenCorpus:
    """The clips of a corpus, those that are trained on and those held out, in an order drawn from a seed."""

    train: tuple[GivenClip, ...]
    test: tuple[GivenClip, ...]
    digest: str

    @property
    def n_tracks(self) -> tuple[int, int]:
        """Recordings on either side."""
        train, test = ({clip.excerpt.track for clip in side} for side in (self.train, self.test))
        return len(train), len(test)


@lru_cache(maxsize=8)
def open_corpus(
    path: str, seconds: float, every: float | None, held_out: int, seed: int, prompt: str, skip: bool
) -> OpenCorpus:
    """A folder or a manifest, cut into clips of ``seconds``, one ``every`` seconds (None: the first of each file).

    Args:
        held_out: recordings that are never trained on, where the manifest has no split.
        prompt: that clips are read with, where the manifest gives none; empty for none.
        skip: go on without the files that cannot be used.

    Raises:
        UserError: for files that cannot be used, contents that are not what the manifest says, and too few recordings.
    """
    place = Path(path).expanduser()
    files = in_folder(place) if place.is_dir() else in_manifest(place, _SETTING)
    facts = facts_of(place, files)
    files = usable(f"{_SETTING}={path}", files, facts, seconds, skip, _GO_ON)
    clips: dict[AudioFile, list[GivenClip]] = {
        file: _cut(file, facts[file.path], seconds, every, prompt) for file in files
    }
    deciding = [(facts[file.path].sha256, file.track, file.held_out, file.prompt) for file in files]
    digest = hashlib.sha256(repr(deciding).encode()).hexdigest()
    train, test = _split(path, files, held_out, seed)
    sides = ([clip for file in some for clip in clips[file]] for some in (train, test))
    draw = np.random.default_rng([seed, 2])
    shuffled = [tuple(side[int(at)] for at in draw.permutation(len(side))) for side in sides]
    return OpenCorpus(shuffled[0], shuffled[1], digest)


# -- what there is -------------------------------------------------------------------------------------------


def in_folder(folder: Path) -> list[AudioFile]:
    """Its audio files. UserError where there is none."""
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in KINDS and file.is_file())
    if not found:
        raise UserError(f"sae.corpus={folder}: no audio file in this folder ({', '.join(KINDS)})")
    return [AudioFile(file, str(file.relative_to(folder))) for file in found]


def in_manifest(manifest: Path, setting: str) -> list[AudioFile]:
    """The files of a manifest that ``setting`` names. UserError for one that is not as it should be."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as written:
            lines = list(csv.DictReader(written))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{setting}={manifest}: no folder of audio files, and no manifest ({first_line(error)})"
        ) from None
    if lacking := [name for name in _NEEDED if not lines or name not in lines[0]]:
        raise UserError(
            f"{setting}={manifest}: the manifest has no {'column ' + lacking[0] if lines else 'line'}; expected "
            f"{', '.join(_NEEDED)} and, if need be, {', '.join(_OPTIONAL)}, and columns of what is known of a file"
        )
    found = [_line(f"{setting}={manifest}", manifest.parent, number, line) for number, line in enumerate(lines, 2)]
    if len({file.held_out is None for file in found}) > 1:
        raise UserError(f"{setting}={manifest}: some lines have a split, and others have none: give all, or none")
    return found


def _line(where: str, folder: Path, number: int, line: Mapping[str, str | None]) -> AudioFile:
    def said(name: str) -> str:
        return (line.get(name) or "").strip()

    if empty := [name for name in _NEEDED if not said(name)]:
        raise UserError(f"{where}: line {number} has no {empty[0]}")
    split = said("split").lower()
    if split and split not in _SPLITS:
        raise UserError(f"{where}: line {number} has split '{split}'; allowed: {', '.join(_SPLITS)}")
    words = {name: said(name) for name in line if name and name not in (*_NEEDED, *_OPTIONAL)}
    known = tuple((name, word) for name, word in words.items() if word)
    prompt = said("prompt") if "prompt" in line else None
    path = said("path")
    held_out = _SPLITS[split] if split else None
    return AudioFile(
        folder / path, said("track") or path, said("sha256").lower(), held_out, prompt, known, said("licence")
    )


# -- what is in it -------------------------------------------------------------------------------------------


def facts_of(place: Path, files: Sequence[AudioFile]) -> dict[Path, Facts]:
    """Of each file; those that were looked at before, and were not changed since, are not read again."""
    known_at = (
        default_store_dir() / "corpora" / f"{hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:24]}.json"
    )
    known: dict[str, Facts] = {}
    with suppress(OSError, ValueError, TypeError):
        known = {name: Facts(**one) for name, one in json.loads(known_at.read_text()).items()}
    found, unread = {}, []
    for file in dict.fromkeys(one.path for one in files):
        now, before = _state(file), known.get(str(file))
        if before is not None and (before.size, before.changed) == (now.size, now.changed):
            found[file] = before
        elif now.wrong:
            found[file] = now
        else:
            unread.append((file, now))
    if unread:
        with progress("files checked", len(unread)) as show, ThreadPoolExecutor(n_cores()) as pool:
            for (file, _), one in zip(unread, pool.map(lambda some: _look(*some), unread), strict=True):
                found[file] = one
                show(1)
        with suppress(UserError), replacing(known_at) as partial:  # it only saves time
            partial.write_text(json.dumps({str(file): asdict(one) for file, one in found.items()}))
    return found


def _state(file: Path) -> Facts:
    try:
        state = file.stat()
    except OSError as error:
        return Facts(0, 0, wrong=error.strerror or str(error))
    return Facts(state.st_size, state.st_mtime_ns)


def _look(file: Path, state: Facts) -> Facts:
    """Its content, decoded to the end."""
    import soundfile

    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        with soundfile.SoundFile(file) as audio:
            n = 0
            while len(block := audio.read(_BLOCK, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    return replace(state, sha256=sha256, wrong="samples that are not finite")
                n += len(block)
            return replace(state, sha256=sha256, seconds=n / audio.samplerate)
    except (OSError, soundfile.SoundFileError) as error:
        return replace(state, wrong=first_line(error))


def usable(
    where: str, files: Sequence[AudioFile], facts: Mapping[Path, Facts], seconds: float, skip: bool, go_on: str = ""
) -> list[AudioFile]:
    """Without copies, and without files that cannot be used (``skip``), which are named; ``where``: the setting, as it
    was given. UserError for other content than the manifest's, and for such files: mend them ``go_on``."""
    for file in files:
        if file.sha256 and facts[file.path].sha256 and facts[file.path].sha256 != file.sha256:
            raise UserError(
                f"{where}: '{file.path.name}' is not the file of the manifest (SHA-256 "
                f"{facts[file.path].sha256[:12]}…, not {file.sha256[:12]}…): fetch it again, or mend the manifest"
            )
    wrong = {
        file: facts[file.path].wrong or f"{facts[file.path].seconds:.2f} s, shorter than a clip of {seconds:g} s"
        for file in files
        if facts[file.path].wrong or facts[file.path].seconds < seconds
    }
    if wrong:
        names = ", ".join(f"{file.path.name} ({why})" for file, why in list(wrong.items())[:_NAMED])
        told = f"{len(wrong)} of {len(files)} files cannot be used: {names}{', …' if len(wrong) > _NAMED else ''}"
        if not skip:
            raise UserError(f"{where}: {told}; mend them{go_on}")
        log.warning("%s: %s; left out", where, told)
    once: dict[str, AudioFile] = {}
    for file in files:
        if file not in wrong:
            once.setdefault(facts[file.path].sha256, file)
    if copies := len(files) - len(wrong) - len(once):
        log.warning("%s: %d files are copies of others and left out", where, copies)
    return list(once.values())


def _cut(file: AudioFile, facts: Facts, seconds: float, every: float | None, prompt: str) -> list[GivenClip]:
    last = facts.seconds - seconds
    starts = [0.0] if every is None else [n * every for n in range(int(last / every + 1e-9) + 1)]
    words, said = dict(file.words), prompt if file.prompt is None else file.prompt
    return [GivenClip(Excerpt.of(str(file.path), facts.sha256, start, file.track), said, words) for start in starts]


def check_splits(where: str, files: Sequence[AudioFile]) -> None:
    """UserError for a recording that is on both sides."""
    test = {file.track for file in files if file.held_out}
    if both := [file.track for file in files if file.track in test and not file.held_out]:
        raise UserError(f"{where}: track '{both[0]}' is in both splits: leave it in one")


def _split(path: str, files: Sequence[AudioFile], held_out: int, seed: int) -> tuple[list[AudioFile], list[AudioFile]]:
    """By recording: what is held out shares none with what is trained on."""
    tracks = list(dict.fromkeys(file.track for file in files))
    if len(tracks) < 4:
        raise UserError(f"sae.corpus={path}: {len(tracks)} recordings; at least 4 are needed (some are held out)")
    if files[0].held_out is not None:
        test = {file.track for file in files if file.held_out}
        check_splits(f"{_SETTING}={path}", files)
    else:
        if not 2 <= held_out <= len(tracks) // 2:
            raise UserError(
                f"sae.held_out={held_out}: expected 2 to {len(tracks) // 2} of the {len(tracks)} recordings in "
                f"{path} (others are trained on)"
            )
        drawn = np.random.default_rng([seed, 1]).permutation(len(tracks))[:held_out]
        test = {tracks[int(place)] for place in drawn}
    sides = [file for file in files if file.track not in test], [file for file in files if file.track in test]
    if min(len({file.track for file in side}) for side in sides) < 2:
        raise UserError(f"sae.corpus={path}: its splits need two recordings each")
    return sides
