"""The store: clips by what decides them, what listeners read of each, recordings of a model, and sound.

``clips/`` holds tokens and, so that a clip can be told without the plan that asked for it, its row; ``readings/`` one
folder for each listener; ``records/`` what was recorded (means, lenses, …); ``audio/`` clips as sound.
"""

from __future__ import annotations

import io
import json
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Bool, Float32, Int16
from safetensors.numpy import load, save

from mech_music.base.errors import UserError
from mech_music.edits.content import Payloads
from mech_music.edits.row import Row
from mech_music.store.files import read_file, write_file
from mech_music.store.leases import Leases
from mech_music.store.shards import Arrays, Shards

log = logging.getLogger(__name__)
VERSION = "v4"  # the folder that everything of this layout lies in
OLD = ("rows", "records", "clips")
"""Where earlier versions kept what they stored, beside this version's folder."""
PARTS = ("clips", "readings", "records", "audio")
WORK = ("streams", "training", "unions")
"""Activations on disk, checkpoints of what is trained on them, and which unions of sweeps are there: made again when
they are asked for."""


class Store:
    """Safe for several processes and machines on one file system. UserError if the folder cannot be written.

    Attributes:
        clips: ``tokens`` (int16 ``[codebook, frame]``; ``[codebook, 0]`` where they are not kept) and ``failed`` (a
            non-finite activation on the way) by clip key.
        leases: which of several processes makes what.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / VERSION
        try:
            for part in PARTS:
                (self.place / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"store folder '{folder}' cannot be made ({error.strerror}): set engine.store to a folder you can write"
            ) from None
        self.clips = Shards(self.place / "clips")
        self.leases = Leases(self.place / "leases")
        self._readings: dict[str, Shards] = {}
        if old := [part for part in OLD if any((folder / part).glob("*"))]:
            log.warning(
                "store '%s' also holds %s/ of an earlier version of mech_music, which are left alone and not used; "
                "`python -m mech_music.store prune --old --yes` removes them",
                folder,
                "/, ".join(old),
            )

    def refresh(self) -> None:
        """See what other processes have added since the last look."""
        for shards in (self.clips, *self._readings.values()):
            shards.refresh()

    # -- clips and readings --------------------------------------------------------------------

    def put_clips(
        self,
        rows: Mapping[str, Row],
        tokens: Int16[np.ndarray, "row codebook frame"],
        failed: Bool[np.ndarray, " row"],
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Write clips, all of them or nothing. ``rows``: by key, in the order of the tokens."""
        document = _packed(list(rows.values()))
        self.clips.put(list(rows), {"tokens": tokens, "failed": failed}, about, document)

    def rows(self, keys: Iterable[str]) -> dict[str, Row]:
        """What the clips under ``keys`` are: as they were asked for (those that are stored)."""
        read: dict[bytes, tuple[list[Row | None], list[str]]] = {}
        found: dict[str, Row] = {}
        for key, (document, position) in self.clips.documents(keys).items():
            written = read.setdefault(document, (_unpacked(document), []))[0]
            if (row := written[position]) is not None:
                found[key] = row
        return found

    def readings(self, listener: str) -> Shards:
        """The readings of one listener, by clip key. ``listener``: its id, all that decides what it reads."""
        if listener not in self._readings:
            self._readings[listener] = Shards(self.place / "readings" / sha256(listener.encode()).hexdigest()[:24])
        return self._readings[listener]

    # -- records -------------------------------------------------------------------------------

    def record(self, key: str) -> Arrays | None:
        """The recorded tensors under ``key`` (by hook name), or None."""
        for path in sorted((self.place / "records").glob(f"{key}-*.safetensors")):
            content = read_file(path)
            if content is not None:
                return load(content)
        return None

    def has_record(self, key: str) -> bool:
        return any((self.place / "records").glob(f"{key}-*.safetensors"))

    def put_record(self, key: str, tensors: Arrays) -> None:
        write_file(self.place / "records", f"{key}-", save(dict(tensors)))

    # -- sound ---------------------------------------------------------------------------------

    def audio(self, key: str) -> tuple[Float32[np.ndarray, " sample"], int] | None:
        """A clip as sound and its sample rate; None if there is none (or only a damaged one)."""
        for path in sorted(self._audio(key).glob(f"{key}-*.flac")):
            content = read_file(path)
            if content is not None:
                return soundfile.read(io.BytesIO(content), dtype="float32")
        return None

    def put_audio(self, key: str, waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> None:
        """Keep a clip as 16-bit FLAC."""
        self._audio(key).mkdir(parents=True, exist_ok=True)
        write_file(self._audio(key), f"{key}-", as_flac(waveform, sample_rate), ".flac")

    def _audio(self, key: str) -> Path:
        """One folder for each beginning of a key: few files in each, however many clips are kept."""
        return self.place / "audio" / key[:2]


def as_flac(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> bytes:
    """A clip as 16-bit FLAC."""
    content = io.BytesIO()
    soundfile.write(content, waveform.clip(-1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _packed(rows: Sequence[Row]) -> bytes:
    payloads: Payloads = {}
    written = [row.to_json(payloads) for row in rows]
    return zlib.compress(json.dumps({"rows": written, "payloads": payloads}).encode(), 1)


def _unpacked(document: bytes) -> list[Row | None]:
    content = json.loads(zlib.decompress(document))
    return [_row(written, content["payloads"]) for written in content["rows"]]


def _row(written: object, payloads: Payloads) -> Row | None:
    """None for a row with a kind of edit that is not known here."""
    try:
        return Row.from_json(written, payloads)
    except ValueError:
        return None


def joined_documents(documents: Sequence[bytes], order: Sequence[int]) -> bytes:
    """One document for the rows of several, in this order of all of them."""
    contents = [json.loads(zlib.decompress(document)) for document in documents]
    rows = [row for content in contents for row in content["rows"]]
    payloads = {digest: payload for content in contents for digest, payload in content["payloads"].items()}
    return zlib.compress(json.dumps({"rows": [rows[at] for at in order], "payloads": payloads}).encode(), 1)
