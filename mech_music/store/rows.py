"""What is stored and found again: outcomes of clips in shards, what was recorded of a model, chosen clips as sound."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32, Int16, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mech_music.errors import UserError
from mech_music.store.files import read_file, set_aside, write_file

_CACHE_BYTES = 256 * 2**20
_PLACE_BITS = 32  # a place in the index is shard << 32 | position: one number instead of a tuple for each of millions
Shard = dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What is kept of one clip: the classifier's logits, and the tokens (audio is remade from them).

    A failed clip (a non-finite activation on its way) has NaN logits and tokens −1. Where tokens are not kept,
    their array is ``[codebook, 0]``.
    """

    logits: Float32[np.ndarray, " label"]
    tokens: Int16[np.ndarray, "codebook frame"]
    key: str = ""

    @property
    def failed(self) -> bool:
        return not np.isfinite(self.logits).all()


class Store:
    """Outcomes under ``rows/``, recordings (concept means, …) under ``records/``, clips as sound under ``clips/``.

    Safe for several processes and machines on one file system. UserError if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[bytes, int] = {}
        self._names: list[str] = []
        self._seen: set[str] = set()
        self._cache: OrderedDict[str, Shard] = OrderedDict()
        try:
            for part in ("rows", "records", "clips"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"store folder '{folder}' cannot be made ({error.strerror}): set engine.store to a folder you can write"
            ) from None
        self.refresh()

    # -- rows ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Index the shards that this or another process has added since the last look."""
        for path in sorted(
            path for path in (self.folder / "rows").glob("*.safetensors") if path.name not in self._seen
        ):
            self._add(path.name, shard_keys(path))

    def _add(self, name: str, keys: Iterable[bytes]) -> None:
        shard = len(self._names) << _PLACE_BITS
        self._names.append(name)
        self._seen.add(name)
        for position, key in enumerate(keys):
            self._index.setdefault(key, shard | position)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._index

    def __len__(self) -> int:
        """Distinct rows."""
        return len(self._index)

    def get(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of those ``keys`` that are stored (and can be read)."""
        wanted = list(keys)
        found = self._look(wanted)
        if found is None:  # a shard was damaged, or compacted by another process: look at what is there now
            self._index, self._names, self._seen = {}, [], set()
            self.refresh()
            return self.get(wanted)
        return found

    def _look(self, keys: Iterable[str]) -> dict[str, Outcome] | None:
        """The outcomes in the index; None if a shard of theirs is not what the index says."""
        places = {key: place for key in keys if (place := self._index.get(bytes.fromhex(key))) is not None}
        found: dict[str, Outcome] = {}
        for key, place in sorted(places.items(), key=lambda item: item[1]):
            shard, position = self._shard(self._names[place >> _PLACE_BITS]), place & (1 << _PLACE_BITS) - 1
            if shard is None:
                return None
            found[key] = Outcome(shard["logits"][position], shard["tokens"][position], key)
        return found

    def put(self, outcomes: Mapping[str, Outcome], about: Mapping[str, str] | None = None) -> None:
        """Write outcomes of equal shape as one shard: all of them or nothing. ``about``: who made them, for people."""
        if outcomes:
            keys = [bytes.fromhex(key) for key in outcomes]
            logits, tokens = zip(*((outcome.logits, outcome.tokens) for outcome in outcomes.values()), strict=True)
            content = pack_shard(keys, np.stack(logits), np.stack(tokens), about)
            self._add(write_file(self.folder / "rows", "", content), keys)

    def _shard(self, name: str) -> Shard | None:
        if name not in self._cache:
            content = read_file(self.folder / "rows" / name)
            if content is None:
                return None
            self._cache[name] = load(content)
            while len(self._cache) > 1 and sum(map(_size, self._cache.values())) > _CACHE_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(name)
        return self._cache[name]

    # -- records ---------------------------------------------------------------------------------

    def record(self, key: str) -> Shard | None:
        """The recorded tensors under ``key`` (by hook name), or None."""
        for path in sorted((self.folder / "records").glob(f"{key}-*.safetensors")):
            content = read_file(path)
            if content is not None:
                return load(content)
        return None

    def has_record(self, key: str) -> bool:
        return any((self.folder / "records").glob(f"{key}-*.safetensors"))

    def put_record(self, key: str, tensors: Mapping[str, np.ndarray]) -> None:
        write_file(self.folder / "records", f"{key}-", save(dict(tensors)))

    # -- clips ---------------------------------------------------------------------------------

    def clip(self, key: str) -> tuple[Float32[np.ndarray, " sample"], int] | None:
        """A stored clip and its sample rate; None if there is none (or only a damaged one)."""
        for path in sorted(self._clips(key).glob(f"{key}-*.flac")):
            content = read_file(path)
            if content is not None:
                return soundfile.read(io.BytesIO(content), dtype="float32")
        return None

    def put_clip(self, key: str, waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> None:
        """Keep a clip as 16-bit FLAC."""
        content = io.BytesIO()
        soundfile.write(content, waveform.clip(-1, 1), sample_rate, format="FLAC", subtype="PCM_16")
        self._clips(key).mkdir(exist_ok=True)
        write_file(self._clips(key), f"{key}-", content.getvalue(), ".flac")

    def _clips(self, key: str) -> Path:
        """One folder for each beginning of a key: few files in each, however many clips are kept."""
        return self.folder / "clips" / key[:2]


def pack_shard(
    keys: Iterable[bytes],
    logits: Float32[np.ndarray, "row label"],
    tokens: Int16[np.ndarray, "row codebook frame"],
    about: Mapping[str, str] | None,
) -> bytes:
    """A shard's content: three tensors over its rows, and who made them."""
    packed = np.stack([np.frombuffer(key, np.uint8) for key in keys])
    return save({"keys": packed, "logits": logits, "tokens": tokens}, metadata=dict(about or {}))


def shard_keys(path: Path) -> list[bytes]:
    """The keys of a shard, read without the rest of it (that is verified when it is read).

    A file that is not a whole shard is set aside and has none; nor has one that is gone.
    """
    try:
        with safe_open(path, "numpy") as shard:
            keys: UInt8[np.ndarray, "row 32"] = shard.get_tensor("keys")
    except FileNotFoundError:
        return []
    except (SafetensorError, OSError, ValueError):
        set_aside(path)
        return []
    return [key.tobytes() for key in keys]


def _size(shard: Shard) -> int:
    return sum(tensor.nbytes for tensor in shard.values())
