"""A store for workers that do not see its folder: what they make goes to where the command was given.

`StoreServer` stands there, with the folder; a worker's `RemoteStore` asks it. Both speak in plain values, so any way to
call a method on another machine serves. Of what others made a worker learns the keys; content comes when it is read.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import soundfile
from jaxtyping import Float32
from safetensors.numpy import load, save

from mech_music.store.files import read_file, write_file
from mech_music.store.leases import Lease, Leases
from mech_music.store.rows import VERSION, Store, as_flac
from mech_music.store.shards import Arrays, Shards, names, shard_keys

_KEY_BYTES = 32
Read = TypeVar("Read")
Part = str
"""A folder within a store: ``clips``, ``readings/…``, ``records``, ``audio/…``."""


class Serves(Protocol):
    """What a remote store asks for; `StoreServer` has it."""

    def claim(self, worker: str, keys: Sequence[str]) -> tuple[str, list[str]]: ...
    def release(self, claim: str) -> None: ...
    def held(self) -> list[str]: ...
    def shards(self, part: Part, known: int) -> tuple[int, list[tuple[str, bytes]]]: ...
    def find(self, part: Part, prefix: str) -> list[str]: ...
    def read(self, part: Part, name: str) -> bytes | None: ...
    def write(self, part: Part, prefix: str, content: bytes, suffix: str = ".safetensors") -> str: ...


class StoreServer:
    """The side that has the folder."""

    def __init__(self, folder: str) -> None:
        self._store = Store(Path(folder))
        self._claims: dict[str, tuple[str, Lease]] = {}
        self._listed: dict[Part, dict[str, bytes]] = {}

    def claim(self, worker: str, keys: Sequence[str]) -> tuple[str, list[str]]:
        """A claim's name, and those of the keys that nobody else holds: they are the worker's."""
        name, lease = uuid.uuid4().hex, self._store.leases.claim(keys)
        self._claims[name] = worker, lease
        return name, list(lease.keys)

    def release(self, claim: str) -> None:
        if claim in self._claims:
            self._claims.pop(claim)[1].release()

    def forget(self, worker: str) -> None:
        """What a worker that died has claimed is free."""
        for name in [name for name, (owner, _) in self._claims.items() if owner == worker]:
            self.release(name)

    def held(self) -> list[str]:
        return list(self._store.leases.held())

    def shards(self, part: Part, known: int) -> tuple[int, list[tuple[str, bytes]]]:
        """How many shards a part has had, and those there are, with their keys; not the first ``known``."""
        listed, there = self._listed.setdefault(part, {}), names(self._place(part))
        for name in sorted(there - listed.keys()):
            listed[name] = b"".join(shard_keys(self._place(part) / name))
        return len(listed), [(name, keys) for name, keys in islice(listed.items(), known, None) if name in there]

    def find(self, part: Part, prefix: str) -> list[str]:
        """The names of a part's files that begin so."""
        return sorted(path.name for path in self._place(part).glob(f"{prefix}*"))

    def read(self, part: Part, name: str) -> bytes | None:
        """A file's content; None for one that is gone or damaged."""
        return read_file(self._place(part) / name)

    def write(self, part: Part, prefix: str, content: bytes, suffix: str = ".safetensors") -> str:
        self._place(part).mkdir(parents=True, exist_ok=True)
        return write_file(self._place(part), prefix, content, suffix)

    def _place(self, part: Part) -> Path:
        return self._store.place / part


class RemoteStore(Store):
    """The side of a worker. ``worker``: a name under which it claims.

    A folder of its own serves for what is no one else's (activations on disk, checkpoints of training).
    """

    def __init__(self, server: Serves, worker: str) -> None:
        own = tempfile.mkdtemp(prefix="mech_music-")
        weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
        super().__init__(Path(own))
        self._server = server
        self.clips = _RemoteShards(server, "clips")
        self.leases = _RemoteLeases(server, worker)
        self._readings: dict[str, Shards] = {}

    def readings(self, listener: str) -> Shards:
        if listener not in self._readings:
            place = f"readings/{sha256(listener.encode()).hexdigest()[:24]}"
            self._readings[listener] = _RemoteShards(self._server, place)
        return self._readings[listener]

    def record(self, key: str) -> Arrays | None:
        return self._first("records", key, load)

    def has_record(self, key: str) -> bool:
        return bool(self._server.find("records", f"{key}-"))

    def put_record(self, key: str, tensors: Arrays) -> None:
        self._server.write("records", f"{key}-", save(dict(tensors)))

    def audio(self, key: str) -> tuple[Float32[np.ndarray, " sample"], int] | None:
        read = lambda content: soundfile.read(io.BytesIO(content), dtype="float32")  # noqa: E731
        return self._first(f"audio/{key[:2]}", key, read)

    def put_audio(self, key: str, waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> None:
        self._server.write(f"audio/{key[:2]}", f"{key}-", as_flac(waveform, sample_rate), ".flac")

    def _first(self, part: Part, key: str, read: Callable[[bytes], Read]) -> Read | None:
        for name in self._server.find(part, f"{key}-"):
            if (content := self._server.read(part, name)) is not None:
                return read(content)
        return None


class _RemoteShards(Shards):
    def __init__(self, server: Serves, part: Part) -> None:
        self._server, self._part, self._known = server, part, 0
        super().__init__(Path(VERSION) / part)

    def refresh(self) -> None:
        if not self._names:  # looked for anew
            self._known = 0
        self._known, new = self._server.shards(self._part, self._known)
        for name, keys in new:
            if name not in self._seen:
                self._add(name, (keys[at : at + _KEY_BYTES] for at in range(0, len(keys), _KEY_BYTES)))

    def _write(self, content: bytes) -> str:
        return self._server.write(self._part, "", content)

    def _read(self, name: str) -> bytes | None:
        return self._server.read(self._part, name)


class _RemoteLeases(Leases):
    def __init__(self, server: Serves, worker: str) -> None:
        self._server, self._worker = server, worker

    def claim(self, keys: Iterable[str]) -> Lease:
        name, free = self._server.claim(self._worker, list(keys))
        return _RemoteLease(self._server, name, frozenset(free))

    def held(self) -> set[str]:
        return set(self._server.held())


class _RemoteLease(Lease):
    def __init__(self, server: Serves, name: str, keys: frozenset[str]) -> None:
        super().__init__(None, keys)
        self._server, self._name = server, name

    def release(self) -> None:
        self._server.release(self._name)
