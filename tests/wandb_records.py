"""Reads an offline W&B run back: the records of its ``.wandb`` file.

The file is a LevelDB log: a header of 7 bytes, then chunks of ``crc32, length, kind`` and data, none of which crosses
a block of 32 KiB; each record is one protobuf message.
"""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_HEADER, _BLOCK, _CHUNK = 7, 32768, struct.Struct("<IHB")
_WHOLE, _LAST = 1, 4
# The module takes its names from the generated code of whichever protobuf is installed: unseen by type checkers.
Record: Any = wandb_internal_pb2.__dict__["Record"]


def read_records(path: Path) -> Iterator[Any]:
    """Every record of a ``.wandb`` file, in order."""
    data, at, message = path.read_bytes(), _HEADER, b""
    assert data[:4] == b":W&B"
    while at + _CHUNK.size <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _CHUNK.size:
            at += left
            continue
        _, length, kind = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        if at + length > len(data):
            return
        message += data[at : at + length]
        at += length
        if kind in (_WHOLE, _LAST):
            yield Record.FromString(message)
            message = b""


class OfflineRun:
    """What an offline run holds: ``config``, ``history``, ``summary``, ``steps`` (metric → step metric), ``exit``."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.steps: dict[str, str] = {}
        self.exit: int | None = None
        (path,) = folder.glob("*.wandb")
        for record in read_records(path):
            self._take(record)

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.run = record.run
            self.config = _items(record.run.config.update)
        elif kind == "config":
            self.config |= _items(record.config.update)
        elif kind == "history":
            self.history.append(_items(record.history.item))
        elif kind == "summary":
            self.summary |= _items(record.summary.update)
        elif kind == "metric":
            self.steps[record.metric.name] = record.metric.step_metric
        elif kind == "exit":
            self.exit = record.exit.exit_code


def finished(folder: Path, patience: float = 20.0) -> OfflineRun:
    """The run in a folder once it is whole: W&B's service writes the last block after ``finish`` returns."""
    end = time.monotonic() + patience
    while (run := OfflineRun(folder)).exit is None:
        assert time.monotonic() < end, f"no exit record in {folder}"
        time.sleep(0.05)
    return run


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
