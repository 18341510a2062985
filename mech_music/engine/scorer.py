"""Clips to the store, and what listeners read of them, beside the generation of the next clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.edits.row import Row
from mech_music.engine.capacity import clips_at_once
from mech_music.listeners.protocol import Clips, Listener
from mech_music.store import Store

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

log = logging.getLogger(__name__)


class ClipScorer:
    """Stores clips and the readings of listeners.

    Args:
        generator: gives the model, once it is needed.
        duration: of the clips, seconds.
        about: who made them, for people.
        keep_tokens, keep_audio: what is stored of a clip beside its readings.
    """

    def __init__(
        self,
        generator: Callable[[], Generator],
        store: Store,
        duration: float,
        about: Mapping[str, str],
        keep_tokens: bool,
        keep_audio: bool,
    ) -> None:
        self._generator, self._store, self._duration, self._about = generator, store, duration, about
        self._keep_tokens, self._keep_audio = keep_tokens, keep_audio
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Within, clips are scored in a second thread while the next pass is generated.

        At most one part of a pass waits to be scored; an error there is raised at the next one, or at the end.
        """
        with ThreadPoolExecutor(1) as self._thread:
            try:
                yield
                self._wait()
            finally:
                self._thread = self._pending = None

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _do(self, work: Callable[[], None], in_background: bool = True) -> None:
        if self._thread is not None:
            self._wait()
        if self._thread is None or not in_background:
            work()
        else:
            self._pending = self._thread.submit(work)

    def store(
        self, rows: Mapping[str, Row], tokens: Int[Tensor, "row codebook frame"], listeners: Sequence[Listener]
    ) -> None:
        """Clips and their readings to the store. ``rows``: by key, as the tokens are; −1 marks a failed clip."""
        self._do(lambda: self._store_clips(rows, tokens, listeners), all(one.in_background for one in listeners))

    def listen(
        self, rows: Mapping[str, Row], tokens: Int[Tensor, "row codebook frame"], listeners: Sequence[Listener]
    ) -> None:
        """Readings of clips that are stored."""
        self._do(lambda: self._read(rows, tokens, listeners), all(one.in_background for one in listeners))

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do something once everything given so far is stored; nobody waits for that, unless it fails."""
        if self._thread is None:
            work()
            return
        before = self._pending

        def then() -> None:
            try:
                if before is not None:
                    before.result()  # done: there is one thread
            finally:
                work()

        self._pending = self._thread.submit(then)

    def _store_clips(self, rows: Mapping[str, Row], tokens: Tensor, listeners: Sequence[Listener]) -> None:
        failed = (tokens < 0).flatten(1).any(1).cpu().numpy()
        small = tokens.cpu().numpy().astype(np.int16)[..., : None if self._keep_tokens else 0]
        # Readings first: a clip that is there without them would be rendered again.
        self._read(rows, tokens, listeners)
        self._store.put_clips(rows, small, failed, self._about)
        for row in (row for row, bad in zip(rows.values(), failed, strict=True) if bad):
            log.warning("failed: a non-finite value while generating %s", row)

    def _read(self, rows: Mapping[str, Row], tokens: Tensor, listeners: Sequence[Listener]) -> None:
        if not listeners and not self._keep_audio:
            return
        failed = (tokens < 0).flatten(1).any(1).cpu().numpy()
        found: dict[str, dict[str, list[np.ndarray]]] = {listener.id: {} for listener in listeners}
        for start, clips in self._batches(rows, tokens.clamp(min=0)):
            n = min(len(clips.rows), len(rows) - start)
            for listener in listeners:
                for name, values in listener.read(clips).items():
                    found[listener.id].setdefault(name, []).append(values[:n].copy())
            if self._keep_audio:
                self._keep(list(rows)[start : start + n], clips, failed[start:])
        for listener in listeners:
            arrays = {name: np.concatenate(parts) for name, parts in found[listener.id].items()}
            for values in arrays.values():
                values[failed] = np.nan
            about = {**self._about, "listener": listener.id}
            self._store.readings(listener.id).put(list(rows), arrays, about)

    def _batches(self, rows: Mapping[str, Row], tokens: Tensor) -> Iterator[tuple[int, Clips]]:
        """A few clips at a time, always as many: another number of neighbours would change a clip's last bits."""
        generator, named = self._generator(), list(rows.values())
        few = clips_at_once(int(self._duration * generator.sample_rate), generator.device)
        for start in range(0, len(named), few):
            some, batch = named[start : start + few], tokens[start : start + few]
            lacking = few - len(some)
            yield (
                start,
                Clips(
                    [*some, *[some[-1]] * lacking], torch.cat([batch, batch[-1:].expand(lacking, -1, -1)]), generator
                ),
            )

    def _keep(self, keys: Sequence[str], clips: Clips, failed: np.ndarray) -> None:
        audio = clips.audio.cpu().numpy()
        for key, bad, clip in zip(keys, failed, audio, strict=False):
            if not bad:
                self._store.put_audio(key, clip, clips.sample_rate)
