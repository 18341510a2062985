"""Named arrays by key, many keys in a file: clips' tokens, and what listeners read of them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mech_music.base.errors import UserError
from mech_music.store.files import read_file, set_aside, write_file

_CACHE_BYTES = 256 * 2**20
_PLACE_BITS = 32  # a place in the index is shard << 32 | position: one number instead of a tuple for each of millions
KEYS, DOCUMENT = "keys", "document"
"""Tensors of a shard that are no one's reading: its keys, and a text on all of its rows (zlib)."""
Arrays = Mapping[str, np.ndarray]
Shard = dict[str, np.ndarray]


class Shards:
    """One folder of shards. Several processes and machines may read and write it on one file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[bytes, int] = {}
        self._names: list[str] = []
        self._seen: set[str] = set()
        self._cache: OrderedDict[str, Shard] = OrderedDict()
        self._indexing = threading.RLock()  # one thread may write clips while another looks for new ones
        self.refresh()

    def refresh(self) -> None:
        """Index the shards that this or another process has added since the last look."""
        for name in sorted(names(self.folder) - self._seen):
            self._add(name, shard_keys(self.folder / name))

    def _add(self, name: str, keys: Iterable[bytes]) -> None:
        with self._indexing:
            shard = len(self._names) << _PLACE_BITS
            self._names.append(name)
            self._seen.add(name)
            for position, key in enumerate(keys):
                self._index.setdefault(key, shard | position)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._index

    def __len__(self) -> int:
        """Distinct keys."""
        return len(self._index)

    def get(self, keys: Iterable[str]) -> dict[str, Arrays]:
        """What is stored under those ``keys`` that are there (and can be read)."""
        wanted = list(keys)
        found = self._look(wanted)
        return self._again(wanted) if found is None else found

    def _again(self, wanted: Sequence[str]) -> dict[str, Arrays]:
        """After a shard was damaged, or compacted by another process: look at what is there now."""
        with self._indexing:
            self._index, self._names, self._seen = {}, [], set()
            self.refresh()
        return self.get(wanted)

    def _look(self, keys: Iterable[str]) -> dict[str, Arrays] | None:
        """What is in the index; None if a shard is not what the index says."""
        found: dict[str, Arrays] = {}
        for key, name, position in self._places(keys):
            shard = self._shard(name)
            if shard is None:
                return None
            found[key] = {part: array[position] for part, array in shard.items() if part not in (KEYS, DOCUMENT)}
        return found

    def _places(self, keys: Iterable[str]) -> list[tuple[str, str, int]]:
        places = {key: place for key in keys if (place := self._index.get(bytes.fromhex(key))) is not None}
        return [
            (key, self._names[place >> _PLACE_BITS], place & (1 << _PLACE_BITS) - 1)
            for key, place in sorted(places.items(), key=lambda item: item[1])
        ]

    def documents(self, keys: Iterable[str]) -> dict[str, tuple[bytes, int]]:
        """The (packed) text of the shard that holds each key, and the key's place among those of the shard."""
        wanted = list(keys)
        found: dict[str, tuple[bytes, int]] = {}
        for key, name, position in self._places(wanted):
            if (shard := self._shard(name)) is None:
                self._again(wanted)
                return self.documents(wanted)
            found[key] = shard[DOCUMENT].tobytes(), position
        return found

    def put(
        self,
        keys: Sequence[str],
        arrays: Arrays,
        about: Mapping[str, str] | None = None,
        document: bytes | None = None,
    ) -> None:
        """Write ``arrays [key, …]`` as one shard: all of them or nothing. ``about``: who made them, for people."""
        if keys:
            raw = [bytes.fromhex(key) for key in keys]
            self._add(self._write(pack(raw, arrays, about, document)), raw)

    def _write(self, content: bytes) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        return write_file(self.folder, "", content)

    def _read(self, name: str) -> bytes | None:
        return read_file(self.folder / name)

    def _shard(self, name: str) -> Shard | None:
        if name not in self._cache:
            content = self._read(name)
            if content is None:
                return None
            self._cache[name] = load(content)
            while len(self._cache) > 1 and sum(map(_size, self._cache.values())) > _CACHE_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(name)
        return self._cache[name]


def names(folder: Path) -> set[str]:
    """The shards in a folder; asked for after every pass, so without a `Path` for each of thousands."""
    with suppress(FileNotFoundError):
        return {name for name in os.listdir(folder) if name.endswith(".safetensors")}
    return set()


def pack(
    keys: Sequence[bytes], arrays: Arrays, about: Mapping[str, str] | None = None, document: bytes | None = None
) -> bytes:
    """A shard's content: its keys, arrays over them, and who made them."""
    packed: Shard = {KEYS: np.stack([np.frombuffer(key, np.uint8) for key in keys]), **arrays}
    if document is not None:
        packed[DOCUMENT] = np.frombuffer(document, np.uint8)
    return save(packed, metadata=dict(about or {}))


def shard_keys(path: Path) -> list[bytes]:
    """The keys of a shard, read without the rest of it (that is verified when it is read).

    A file that is not a whole shard is set aside and has none; nor has one that is gone. UserError for one that may
    not be read.
    """
    try:
        with safe_open(path, "numpy") as shard:
            keys: UInt8[np.ndarray, "row 32"] = shard.get_tensor(KEYS)
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise UserError(f"store file '{path}' cannot be read ({error.strerror}): mend its permissions") from None
    except (SafetensorError, OSError, ValueError):
        set_aside(path)
        return []
    return [key.tobytes() for key in keys]


def _size(shard: Shard) -> int:
    return sum(tensor.nbytes for tensor in shard.values())
