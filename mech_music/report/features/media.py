"""The clips of the features that are heard, as small files: each once, however many features it is shown for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mech_music.base.atomic import replacing
from mech_music.edits.row import Row
from mech_music.report.sound import compressed, picture

CLIPS = "clips"
_AT_ONCE = 32  # clips in memory
Render = Callable[[Sequence[Row]], tuple[np.ndarray, int]]
"""Waveforms of rows and their sample rate, as `mech_music.engine.engine.Engine.audio` gives them."""


@dataclass
class Media:
    """Writes sounds and pictures to ``folder/clips``. ``render`` is asked for those that are not there yet; ``key``: a
    row's key in the store, of which files are named."""

    folder: Path
    render: Render
    key: Callable[[Row], str]
    show: Callable[[int], None] = lambda n: None
    written: set[Path] = field(default_factory=set)

    def add(self, rows: Sequence[Row]) -> dict[Row, dict[str, Any]]:
        """What pages need of each row: the names of its files, its length in seconds, the highest frequency."""
        found: dict[Row, dict[str, Any]] = {}
        wanted = list(dict.fromkeys(rows))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            waveforms, rate = self.render(some)
            for row, waveform in zip(some, waveforms, strict=True):
                found[row] = self._write(row, waveform, rate)
            self.show(len(some))
        return found

    def _write(self, row: Row, waveform: np.ndarray, rate: int) -> dict[str, Any]:
        stem = self.folder / CLIPS / self.key(row)[:20]
        suffix, _, sound = compressed(waveform, rate)
        parts: Mapping[str, tuple[str, bytes]] = {"sound": (suffix, sound), "image": (".png", picture(waveform, rate))}
        told: dict[str, Any] = {"seconds": len(waveform) / rate, "top_hz": rate / 2}
        for name, (ending, content) in parts.items():
            path = stem.with_suffix(ending)
            with replacing(path) as partial:
                partial.write_bytes(content)
            self.written.add(path)
            told[name] = f"{CLIPS}/{path.name}"
        return told

    def forget_others(self) -> None:
        """Remove the clips of an earlier browser that this one does not show."""
        for path in (self.folder / CLIPS).glob("*"):
            if path not in self.written and path.suffix in (".mp3", ".flac", ".png"):
                path.unlink(missing_ok=True)
