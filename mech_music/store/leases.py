"""Who of several processes makes what: a claim on keys that lasts as long as its owner lives.

A claim is a file that lists keys. Its owner touches it every few seconds; one that was not touched for `EXPIRES`
seconds (its owner was stopped, or died on another machine) counts no more, nor does one whose owner died on this
machine. Claims are made under a lock on the folder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mech_music.base.errors import UserError

log = logging.getLogger(__name__)
_TOUCHED_EVERY = 5.0
EXPIRES = 30.0
"""Seconds after which a claim of which nothing is heard is taken over."""


class Lease:
    """A claim that is held; `release` it when what was claimed is stored."""

    def __init__(self, path: Path | None, keys: frozenset[str]) -> None:
        self.keys = keys
        self._path, self._released = path, threading.Event()
        if path is not None:
            threading.Thread(target=self._touch, daemon=True, name="lease").start()

    def _touch(self) -> None:
        while not self._released.wait(_TOUCHED_EVERY):
            with suppress(OSError):
                assert self._path is not None
                self._path.touch()

    def release(self) -> None:
        """Nothing is claimed any more. May be called again."""
        self._released.set()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Leases:
    """The claims on one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, keys: Iterable[str]) -> Lease:
        """A lease on those of ``keys`` that nobody else holds; it may be empty."""
        wanted = set(keys)
        with self._locked():
            free = frozenset(wanted - self.held())
            path = self.folder / f"{uuid.uuid4().hex}.json" if free else None
            if path is not None:
                path.write_text(json.dumps({**_owner(), "keys": sorted(free)}))
        return Lease(path, free)

    def held(self) -> set[str]:
        """Every key that somebody holds."""
        probe = self.folder / f".now.{uuid.uuid4().hex}"  # the file system's own clock
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        found: set[str] = set()
        for path in self.folder.glob("*.json"):
            with suppress(FileNotFoundError, ValueError):
                claim = json.loads(path.read_text())
                if now - path.stat().st_mtime > EXPIRES or _has_died(claim):
                    log.info("the owner of lease %s is gone: what it claimed is free", path.name)
                    path.unlink(missing_ok=True)
                else:
                    found.update(claim["keys"])
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        except OSError as error:
            raise UserError(
                f"store folder '{self.folder}' cannot be written ({error.strerror}): free space or set engine.store "
                "elsewhere"
            ) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _owner() -> dict[str, Any]:
    """This process, so that others on the same machine (and in the same container) can tell whether it lives."""
    space = Path("/proc/self/ns/pid")
    return {"host": socket.gethostname(), "space": os.readlink(space) if space.exists() else "", "pid": os.getpid()}


def _has_died(claim: Mapping[str, Any]) -> bool:
    here = _owner()
    if (claim["host"], claim["space"]) != (here["host"], here["space"]):
        return False
    try:
        os.kill(claim["pid"], 0)
        state = Path(f"/proc/{claim['pid']}/stat")
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
    except PermissionError:
        return False
    except (ProcessLookupError, FileNotFoundError):
        return True
