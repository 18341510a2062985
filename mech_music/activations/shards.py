"""A stream on disk: a folder with a manifest and one safetensors file for each chunk. What was killed goes on.

Who reads activations takes `Activations`, and need not know whether they are on disk or made anew each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mech_music.activations.streams import Chunk, Stream
from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.edits.row import Row

MANIFEST = "stream.json"
_ROWS = "rows"  # a shard's rows, as JSON in its header
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
Values = Float32[Tensor, "row step half width"]


class Activations(Protocol):
    """The chunks of a stream, and any part of them."""

    def __len__(self) -> int:
        """Chunks."""
        ...

    def __iter__(self) -> Iterator[Chunk]:
        """One in memory at a time."""
        ...

    def shape(self, number: int, hook: str) -> tuple[int, ...]:
        """Rows, steps, halves and width of a chunk."""
        ...

    def values(self, number: int, hooks: Sequence[str], half: slice) -> dict[str, Values]:
        """Of a chunk, some hooks and halves."""
        ...


@dataclass(frozen=True)
class OnDisk:
    """What `save_stream` wrote. UserError, of every method, for a folder without a stream."""

    folder: Path

    def __len__(self) -> int:
        return len(shard_files(self.folder))

    def __iter__(self) -> Iterator[Chunk]:
        return read_stream(self.folder)

    def shape(self, number: int, hook: str) -> tuple[int, ...]:
        """From the file's header."""
        with safe_open(_shard(self.folder, number), "pt") as shard:
            return tuple(shard.get_slice(hook).get_shape())

    def values(self, number: int, hooks: Sequence[str], half: slice) -> dict[str, Values]:
        """Nothing else is read."""
        with safe_open(_shard(self.folder, number), "pt") as shard:
            return {hook: shard.get_slice(hook)[:, :, half].float() for hook in hooks}


@dataclass(frozen=True)
class Anew:
    """A stream without a disk: each chunk is made by the model whenever it is read. The same numbers as from disk."""

    stream: Stream
    dtype: str = "float16"

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[Chunk]:
        return map(self._chunk, range(len(self)))

    def shape(self, number: int, hook: str) -> tuple[int, ...]:
        """As long as no clip is left out."""
        return self.stream.shape(number)

    def values(self, number: int, hooks: Sequence[str], half: slice) -> dict[str, Values]:
        """The chunk is made as a whole."""
        found = self._chunk(number).values
        return {hook: found[hook][:, :, half] for hook in hooks}

    def _chunk(self, number: int) -> Chunk:
        chunk = self.stream.chunk(number)
        kept = _as(_DTYPES[self.dtype], chunk)
        return Chunk(chunk.rows, {hook: values.float() for hook, values in kept.items()})


def save_stream(
    stream: Stream, folder: Path, model: str = "", dtype: str = "float16", numbers: Iterable[int] | None = None
) -> int:
    """Write the chunks that ``folder`` does not have yet; returns how many. The same bytes, however often killed.

    Args:
        model: what identifies the model (its weights by content).
        numbers: only these chunks (other processes write the others); None for all.

    Raises:
        UserError: if the folder holds another stream, or a value is too large for ``dtype``.
    """
    if dtype not in _DTYPES:
        raise UserError(f"dtype={dtype}: expected one of {', '.join(_DTYPES)}")
    manifest = {"model": model, "dtype": dtype, **stream.about, "chunks": len(stream)}
    if (folder / MANIFEST).exists():
        _must_equal(_manifest(folder), manifest, folder)
    else:
        with replacing(folder / MANIFEST) as partial:
            partial.write_text(json.dumps(manifest, indent=2) + "\n")
    chosen = range(len(stream)) if numbers is None else numbers
    missing = [number for number in chosen if not _shard(folder, number).exists()]
    for number in missing:
        _write(stream.chunk(number), _shard(folder, number), _DTYPES[dtype])
    return len(missing)


def is_whole(folder: Path) -> bool:
    """Whether every chunk is there."""
    return all(_shard(folder, number).exists() for number in range(int(_manifest(folder)["chunks"])))


def shard_files(folder: Path) -> list[Path]:
    """The files of a stream's chunks, in their order. UserError for no stream."""
    return [_shard(folder, number) for number in range(int(_manifest(folder)["chunks"]))]


def read_stream(folder: Path) -> Iterator[Chunk]:
    """The chunks of a stream on disk, one in memory at a time. UserError if it is not complete, or damaged."""
    total = int(_manifest(folder)["chunks"])
    lacking = sum(not _shard(folder, number).exists() for number in range(total))
    if lacking:
        raise UserError(f"the stream in '{folder}' lacks {lacking} of {total} chunks: go on with writing it")
    for number in range(total):
        yield _read(_shard(folder, number))


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.safetensors"


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"no stream in '{folder}' ({MANIFEST}: {first_line(error)})") from None


def _must_equal(there: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    same = json.loads(json.dumps(wanted))
    if differing := [name for name in same if there.get(name) != same[name]]:
        name = differing[0]
        raise UserError(
            f"'{folder}' holds another stream ({name} is {json.dumps(there.get(name))}, not {json.dumps(same[name])}): "
            "write to another folder, or delete this one"
        )


def _write(chunk: Chunk, path: Path, dtype: torch.dtype) -> None:
    values = _as(dtype, chunk)
    payloads: dict[str, Any] = {}
    rows = {"rows": [row.to_json(payloads) for row in chunk.rows], "payloads": payloads}
    with replacing(path) as partial:
        save_file(values, partial, metadata={_ROWS: json.dumps(rows)})


def _as(dtype: torch.dtype, chunk: Chunk) -> dict[str, Tensor]:
    values = {name: tensor.to(dtype) for name, tensor in chunk.values.items()}
    if large := [name for name, tensor in values.items() if not tensor.isfinite().all()]:
        raise UserError(f"values of '{large[0]}' are too large for {dtype}: write them as float32")
    return values


def _read(path: Path) -> Chunk:
    try:
        with safe_open(path, "pt") as shard:
            written = json.loads(shard.metadata()[_ROWS])
            values: dict[str, Tensor] = {name: shard.get_tensor(name).float() for name in shard.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"'{path}' is damaged ({first_line(error)}): delete it and write the stream again") from None
    return Chunk([Row.from_json(row, written["payloads"]) for row in written["rows"]], values)
