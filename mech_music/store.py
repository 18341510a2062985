"""The row store: every clip's outcome, addressed by what decides the clip.

Files are append-only and named after their own SHA-256, so that writing is atomic, two processes
never clash, and reading verifies: a truncated or flipped file is set aside and its rows are
computed again.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32, Int16
from safetensors.numpy import load, save

from mech_music.errors import UserError

log = logging.getLogger(__name__)
_CACHED_SHARDS = 64


@dataclass(frozen=True)
class Outcome:
    """What is kept of one clip: the classifier's logits, and the tokens (audio is remade from them).

    A failed clip (a non-finite activation on its way) has NaN logits and tokens −1.
    """

    logits: Float32[np.ndarray, " label"]
    tokens: Int16[np.ndarray, "codebook frame"]
    key: str = ""

    @property
    def failed(self) -> bool:
        return not np.isfinite(self.logits).all()


class Store:
    """Outcomes under ``rows/``, concept means under ``means/``, chosen clips as sound under ``clips/``.

    Safe for several processes on one file system. UserError if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[str, tuple[str, int]] = {}
        self._seen: set[str] = set()
        self._shards: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()
        try:
            for part in ("rows", "means", "clips"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"store folder '{folder}' cannot be made ({error.strerror}): set engine.store to a folder you can write"
            ) from None
        self.refresh()

    # -- rows ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Index the shards that this or another process has added since the last look."""
        for path in sorted((self.folder / "rows").glob("*.safetensors")):
            if path.name not in self._seen:
                self._seen.add(path.name)
                shard = self._shard(path.name)
                for position, key in enumerate(shard["keys"] if shard else ()):
                    self._index.setdefault(key.tobytes().hex(), (path.name, position))

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def get(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of those ``keys`` that are stored (and can be read)."""
        found: dict[str, Outcome] = {}
        for key in sorted((k for k in keys if k in self._index), key=self._index.__getitem__):
            name, position = self._index[key]
            shard = self._shard(name)
            if shard is None:
                del self._index[key]
            else:
                found[key] = Outcome(shard["logits"][position], shard["tokens"][position], key)
        return found

    def put(self, outcomes: Mapping[str, Outcome]) -> None:
        """Write outcomes of equal shape as one shard: all of them or nothing."""
        if not outcomes:
            return
        content = save(
            {
                "keys": np.stack([np.frombuffer(bytes.fromhex(key), np.uint8) for key in outcomes]),
                "logits": np.stack([outcome.logits for outcome in outcomes.values()]),
                "tokens": np.stack([outcome.tokens for outcome in outcomes.values()]),
            }
        )
        name = _write(self.folder / "rows", "", content)
        self._seen.add(name)
        self._index.update({key: (name, position) for position, key in enumerate(outcomes)})

    def _shard(self, name: str) -> dict[str, np.ndarray] | None:
        if name in self._shards:
            self._shards.move_to_end(name)
            return self._shards[name]
        content = _read(self.folder / "rows" / name)
        if content is None:
            return None
        self._shards[name] = load(content)
        if len(self._shards) > _CACHED_SHARDS:
            self._shards.popitem(last=False)
        return self._shards[name]

    # -- means ---------------------------------------------------------------------------------

    def mean(self, key: str) -> dict[str, np.ndarray] | None:
        """The recorded tensors under ``key`` (by hook name), or None."""
        for path in sorted((self.folder / "means").glob(f"{key}-*.safetensors")):
            content = _read(path)
            if content is not None:
                return load(content)
        return None

    def has_mean(self, key: str) -> bool:
        return any((self.folder / "means").glob(f"{key}-*.safetensors"))

    def put_mean(self, key: str, tensors: Mapping[str, np.ndarray]) -> None:
        _write(self.folder / "means", f"{key}-", save(dict(tensors)))

    # -- clips ---------------------------------------------------------------------------------

    def clip(self, key: str) -> tuple[Float32[np.ndarray, " sample"], int] | None:
        """A stored clip and its sample rate; None if there is none (or only a damaged one)."""
        for path in sorted((self.folder / "clips").glob(f"{key}-*.flac")):
            content = _read(path)
            if content is not None:
                return soundfile.read(io.BytesIO(content), dtype="float32")
        return None

    def put_clip(self, key: str, waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> None:
        """Keep a clip as 16-bit FLAC."""
        content = io.BytesIO()
        soundfile.write(content, waveform.clip(-1, 1), sample_rate, format="FLAC", subtype="PCM_16")
        _write(self.folder / "clips", f"{key}-", content.getvalue(), ".flac")


def _write(folder: Path, prefix: str, content: bytes, suffix: str = ".safetensors") -> str:
    """Write ``content`` under its own digest, atomically; the file name."""
    name = f"{prefix}{hashlib.sha256(content).hexdigest()}{suffix}"
    partial = folder / f".{name}.{os.getpid()}"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"store folder '{folder}' cannot be written ({error.strerror}): free space or set engine.store elsewhere"
        ) from None
    return name


def _read(path: Path) -> bytes | None:
    """The content of a shard if it is what was written; else it is set aside."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest() == path.stem.rpartition("-")[2]:
        return content
    path.replace(path.with_suffix(".damaged"))
    log.warning("store file %s is damaged: set aside as .damaged, its rows will be computed again", path.name)
    return None
