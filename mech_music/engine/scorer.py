"""Hearing: tokens to sound to the classifier's logits to the store, beside the generation of the next clips."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from mech_music.edits.row import Row
from mech_music.engine.capacity import clips_at_once
from mech_music.store import Outcome, Store

if TYPE_CHECKING:
    from mech_music.listeners.classifier import Classifier
    from mech_music.models.musicgen.model import HookedMusicGen

log = logging.getLogger(__name__)


class Voice(Protocol):
    """A model and the classifier that listens to it; loaded when they are first needed.

    The two ids decide, with the settings and the row, what an outcome is: weights, number format and
    device of the model, weights of the classifier. ``weights``: the fingerprint of the model's checkpoint alone.
    ``name`` and ``source`` are for people.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def classifier_id(self) -> str: ...
    @property
    def model(self) -> HookedMusicGen: ...
    @property
    def classifier(self) -> Classifier: ...


class Ear:
    """Decodes and classifies clips, and stores what is kept of each.

    Args:
        duration: of the clips, seconds.
        about: who made them, for people.
        keep_tokens, keep_audio: what is stored beside the classifier's logits.
    """

    def __init__(
        self, voice: Voice, store: Store, duration: float, about: Mapping[str, str], keep_tokens: bool, keep_audio: bool
    ) -> None:
        self._voice, self._store, self._duration, self._about = voice, store, duration, about
        self._keep_tokens, self._keep_audio = keep_tokens, keep_audio
        self._thread: ThreadPoolExecutor | None = None
        self._heard: Future[None] | None = None

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Within, clips are decoded and classified in a second thread while the next pass is generated.

        At most one pass waits to be heard; an error there is raised at the next pass, or at the end.
        """
        with ThreadPoolExecutor(1) as self._thread:
            try:
                yield
                self.wait()
            finally:
                self._thread = self._heard = None

    def wait(self) -> None:
        """Until what was given to the second thread is in the store."""
        if self._heard is not None:
            self._heard.result()

    def hear(self, rows: Mapping[str, Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        """Outcomes to the store. ``rows``: by key, in the order of the tokens; tokens of −1 mark a failed clip."""
        if self._thread is None:
            self._hear(rows, tokens)
        else:
            self.wait()
            self._heard = self._thread.submit(self._hear, rows, tokens)

    def _hear(self, rows: Mapping[str, Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        failed = (tokens < 0).flatten(1).any(1).cpu().numpy()
        logits = np.concatenate(list(self._logits(list(rows), tokens.clamp(min=0), failed)))
        logits[failed] = np.nan
        small = tokens.cpu().numpy().astype(np.int16)[..., : None if self._keep_tokens else 0]
        self._store.put({key: Outcome(logits[i], small[i]) for i, key in enumerate(rows)}, self._about)
        for row in (row for row, bad in zip(rows.values(), failed, strict=True) if bad):
            log.warning("failed: a non-finite value while generating %s", row)

    def _logits(
        self, keys: Sequence[str], tokens: Int[Tensor, "row codebook frame"], failed: np.ndarray
    ) -> Iterator[Float32[np.ndarray, "some label"]]:
        """The classifier's logits of all rows, a few at a time."""
        model = self._voice.model
        few = clips_at_once(int(self._duration * model.sample_rate), model.device)
        for start in range(0, len(keys), few):
            batch = tokens[start : start + few]
            # Padded, so that a clip never sees another number of neighbours: that would change its last bits.
            audio = model.to_audio(torch.cat([batch, batch[-1:].expand(few - len(batch), -1, -1)]))
            logits = self._voice.classifier.logits(audio, model.sample_rate)
            if self._keep_audio:
                clips = audio[: len(batch)].cpu().numpy()
                for key, bad, clip in zip(keys[start:], failed[start:], clips, strict=False):
                    if not bad:
                        self._store.put_clip(key, clip, model.sample_rate)
            yield logits[: len(batch)].float().cpu().numpy()
