"""What a store holds, whether it is whole, and how to make it smaller.

Everything here is safe while others read and write: files are only added and removed, never changed, and what is
removed has been written elsewhere first (compact) or is computed again when it is asked for (prune).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from mech_music.base.errors import UserError
from mech_music.store.files import DAMAGED, is_partial, read_file, write_file
from mech_music.store.rows import OLD, PARTS, VERSION, WORK, joined_documents
from mech_music.store.shards import DOCUMENT, KEYS, pack

SHARDED = ("clips", "readings")
_SHARD_BYTES = 64 * 2**20  # compacted shards: few files, each still quickly read and verified
_ABANDONED = 3600.0  # seconds after which a partial file belongs to nobody
About = tuple[tuple[str, str], ...]
Advance = Callable[[], None]


@dataclass
class Holding:
    """Files of one kind: clips of one model and settings, one listener's readings, records, or what is left over."""

    what: str
    about: About = ()
    files: list[Path] = field(default_factory=list)
    items: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.files if path.exists())

    @property
    def newest(self) -> float:
        """When the last of them was written, in seconds since the epoch."""
        return max((path.stat().st_mtime for path in self.files if path.exists()), default=0.0)


def check_store(folder: Path) -> Path:
    """The folder, if it is a store; UserError if not."""
    if not any((folder / part).is_dir() for part in (VERSION, *OLD)):
        raise UserError(f"no store at '{folder}': give another folder with --store, or run something first")
    return folder


def survey(folder: Path) -> list[Holding]:
    """Everything in the store: clips and readings by who made them, then records, sound, and what is left over."""
    found = [holding for part in SHARDED for holding in _sharded(folder, part)]
    for part in ("records", "audio"):
        files = list(_whole(folder, part))
        found.append(Holding(part, files=files, items=len(files)))
    for part in WORK:
        files = [path for path in (folder / VERSION / part).rglob("*") if path.is_file() and not is_partial(path)]
        found.append(Holding(part, files=files, items=len({path.parent for path in files})))
    old = [path for part in OLD for path in (folder / part).rglob("*") if path.is_file()]
    if old:
        found.append(Holding("old", files=old, items=len(old)))
    everything = [path for part in PARTS for path in (folder / VERSION / part).rglob("*") if path.is_file()]
    damaged = [path for path in everything if path.suffix == DAMAGED]
    remains = [path for path in everything if is_partial(path)]
    return [*found, Holding("damaged", (), damaged, len(damaged)), Holding("remains", (), remains, len(remains))]


def _sharded(folder: Path, part: str) -> list[Holding]:
    shards: dict[tuple[About, Path], Holding] = {}
    for path in _whole(folder, part):
        about, items = _glance(path)
        holding = shards.setdefault((about, path.parent), Holding(part, about))
        holding.files.append(path)
        holding.items += items
    return [shards[about] for about in sorted(shards)]


def _whole(folder: Path, part: str) -> Iterator[Path]:
    suffix = ".flac" if part == "audio" else ".safetensors"
    return (path for path in sorted((folder / VERSION / part).rglob(f"*{suffix}")) if not is_partial(path))


def _glance(path: Path) -> tuple[About, int]:
    """Who made a shard and how many rows are in it, from its header; nobody and none if that cannot be read."""
    try:
        with safe_open(path, "numpy") as shard:
            return tuple(sorted((shard.metadata() or {}).items())), shard.get_slice(KEYS).get_shape()[0]
    except (SafetensorError, OSError):
        return (), 0


def count_files(folder: Path) -> int:
    """Files that `verify` will read."""
    return sum(1 for part in PARTS for _ in _whole(folder, part))


def verify(folder: Path, advance: Advance) -> list[Path]:
    """Read every file; those that are not what was written are set aside and returned."""
    damaged = []
    for part in PARTS:
        for path in _whole(folder, part):
            if read_file(path) is None and path.with_suffix(DAMAGED).exists():  # else another process removed it
                damaged.append(path)
            advance()
    return damaged


def compact(folder: Path, advance: Advance) -> tuple[int, int]:
    """Join small shards of one maker, each key once; the numbers of shards before and after.

    A joined shard is written before its parts are removed, so a kill at any moment loses nothing.
    """
    before = after = 0
    holdings = survey(folder)
    for holding in (holding for holding in holdings if holding.what in SHARDED):
        before += len(holding.files)
        small = [path for path in holding.files if path.stat().st_size < _SHARD_BYTES // 2]
        after += len(holding.files) - len(small)
        for parts in _portions(small):
            after += _join(parts, holding.about)
            advance()
    for path in (path for holding in holdings if holding.what == "remains" for path in holding.files):
        if path.exists() and time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
    return before, after


def _portions(files: Iterable[Path]) -> Iterator[list[Path]]:
    portion: list[Path] = []
    size = 0
    for path in files:
        portion.append(path)
        size += path.stat().st_size
        if size >= _SHARD_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _join(parts: list[Path], about: About) -> int:
    """Write shards (of one shape each) as one, and remove them; how many files it takes afterwards."""
    if len(parts) == 1:
        return 1
    contents = [(path, load(content)) for path in parts if (content := read_file(path)) is not None]
    n_files = 0
    for _, same in groupby(sorted(contents, key=_shape), key=_shape):
        group = list(same)
        joined = write_file(parts[0].parent, "", _joined([shard for _, shard in group], about))
        n_files += 1
        for path, _ in group:
            if path.name != joined:
                path.unlink(missing_ok=True)
    return n_files


def _shape(item: tuple[Path, dict[str, np.ndarray]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    shard = item[1]
    return tuple(sorted((name, array.shape[1:]) for name, array in shard.items() if name != KEYS))


def _joined(shards: list[dict[str, np.ndarray]], about: About) -> bytes:
    keys, first = np.unique(np.concatenate([shard[KEYS] for shard in shards]), axis=0, return_index=True)
    names = [name for name in shards[0] if name not in (KEYS, DOCUMENT)]
    arrays = {name: np.concatenate([shard[name] for shard in shards])[first] for name in names}
    documents = [shard[DOCUMENT].tobytes() for shard in shards if DOCUMENT in shard]
    document = joined_documents(documents, first.tolist()) if documents else None
    return pack([key.tobytes() for key in keys], arrays, dict(about), document)


def prunable(folder: Path, what: Iterable[str], model: str | None, days: float | None) -> list[Holding]:
    """What `prune` would remove: holdings of the kinds in ``what``, of one model, not written to for ``days``.

    With anything goes the word that unions of sweeps are there. UserError for a model that the store has no clips of.
    """
    every = [holding for holding in survey(folder) if holding.files]
    found = [holding for holding in every if holding.what in what]
    if model is not None:
        known = sorted({dict(holding.about).get("model", "") for holding in found if holding.what in SHARDED})
        if model not in known:
            raise UserError(f"no clips of model '{model}' in the store; it has: {', '.join(known) or 'none'}")
        found = [holding for holding in found if dict(holding.about).get("model") == model]
    if days is not None:
        for holding in found:
            holding.files = [path for path in holding.files if time.time() - path.stat().st_mtime > 86_400 * days]
    chosen = [holding for holding in found if holding.files]
    unions = [holding for holding in every if holding.what == "unions" and holding not in chosen]
    return chosen + unions if chosen else []


def prune(holdings: Iterable[Holding]) -> None:
    """Remove the files of these holdings; what they held is computed again when it is asked for."""
    for holding in holdings:
        for path in holding.files:
            path.unlink(missing_ok=True)
