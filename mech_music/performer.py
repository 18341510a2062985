"""What a pass does with a model: generate rows with their edits, hear the clips, store the outcomes; record means."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from mech_music.affine import compile_edits, visitor
from mech_music.capacity import MIN_PASS, clips_at_once
from mech_music.concepts import CONCEPTS, concept_prompts
from mech_music.edits import History, Mean, Row
from mech_music.errors import UserError
from mech_music.hooks import Hook, all_hooks
from mech_music.means import POINTS, MeanRecorder
from mech_music.sampling import Sampling
from mech_music.store import Outcome, Store
from mech_music.workers import Advance

if TYPE_CHECKING:
    from mech_music.classifier import Classifier
    from mech_music.model import HookedMusicGen

log = logging.getLogger(__name__)
_VERSION = 2  # raise it when a change of this code changes what a row gives


@dataclass(frozen=True)
class Settings:
    """What decides a clip beside the model and its row."""

    sampling: Sampling
    duration: float = 4.0


class Voice(Protocol):
    """A model and the classifier that listens to it; loaded when they are first needed.

    The two ids decide, with the settings and the row, what an outcome is: weights, number format and
    device of the model, weights of the classifier. ``name`` and ``source`` are for people.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def classifier_id(self) -> str: ...
    @property
    def model(self) -> HookedMusicGen: ...
    @property
    def classifier(self) -> Classifier: ...


class Performer:
    """One voice at work for one store. Everything it does is written to the store; nothing is asked of it twice.

    Args:
        keep_tokens, keep_audio: what is stored of each clip beside the classifier's logits.
    """

    def __init__(
        self, voice: Voice, store: Store, settings: Settings, keep_tokens: bool = True, keep_audio: bool = False
    ) -> None:
        self.voice, self.store, self.settings = voice, store, settings
        self.keep_tokens, self.keep_audio = keep_tokens, keep_audio
        deciding = [_VERSION, voice.model_id, asdict(settings.sampling), settings.duration]
        self._generation = json.dumps(deciding, sort_keys=True)
        self._context = hashlib.sha256((self._generation + voice.classifier_id).encode()).hexdigest()
        self.about = {
            "model": voice.name,
            "source": voice.source,
            "model_id": voice.model_id,
            "classifier_id": voice.classifier_id,
            "settings": f"{settings.duration:g} s, {_words(settings.sampling)}",
        }
        self._means: dict[Mean, dict[str, Tensor]] = {}
        self._lengths: dict[str, int] = {}
        self._ear: ThreadPoolExecutor | None = None
        self._heard: Future[None] | None = None

    @property
    def model(self) -> HookedMusicGen:
        return self.voice.model

    def load(self) -> None:
        """Load what the voice has not loaded yet (before worker processes copy it)."""
        _ = self.voice.model, self.voice.classifier

    @cached_property
    def n_steps(self) -> int:
        return self.model.n_steps(self.settings.duration)

    def key(self, row: Row) -> str:
        """The row's content address in the store."""
        return row.key(self._context)

    def packs(self, rows: Sequence[Row], most: int, n_workers: int = 1) -> list[tuple[Row, ...]]:
        """Passes of at most ``most`` rows whose prompts have the same length (padding would be seen by
        cross-attention); of equal size, as many for each worker."""
        packs = []
        for _, same in groupby(sorted(rows, key=self._length), key=self._length):
            group = tuple(same)
            n_packs = -(-len(group) // most)
            n_packs = min(-(-n_packs // n_workers) * n_workers, -(-len(group) // MIN_PASS))
            size = -(-len(group) // n_packs)
            packs += [group[start : start + size] for start in range(0, len(group), size)]
        return packs

    def _padded(self, rows: Sequence[Row]) -> list[Row]:
        """A pass of at least `MIN_PASS` rows; what is added is thrown away afterwards."""
        return [*rows, *[Row(rows[-1].prompt, rows[-1].seed)] * (MIN_PASS - len(rows))]

    def _length(self, row: Row) -> int:
        if row.prompt not in self._lengths:
            self._lengths[row.prompt] = self.model.prompt_length(row.prompt)
        return self._lengths[row.prompt]

    # -- clips ---------------------------------------------------------------------------------

    def perform(self, rows: Sequence[Row], advance: Advance) -> None:
        """One pass: rows of one prompt length, each with its own edits, to outcomes in the store.

        Rows that another process has stored meanwhile are left out.
        """
        self.store.refresh()
        missing = [row for row in rows if self.key(row) not in self.store]
        advance(len(rows) - len(missing))
        if missing:
            self._keep(missing, self._edited(missing, advance))

    def tokens(self, rows: Sequence[Row]) -> Int[Tensor, "row codebook frame"]:
        """The rows' tokens, made again (for those whose tokens were not kept)."""
        parts = {}
        for pack in self.packs(rows, 32):
            parts |= zip(pack, self._edited(pack, lambda _: None), strict=True)
        return torch.stack([parts[row] for row in rows])

    def _edited(self, rows: Sequence[Row], advance: Advance) -> Int[Tensor, "row codebook frame"]:
        maps = compile_edits(self._padded(rows), self.resolve, self.n_steps, self.model.device)
        return self._generate(rows, tuple(maps), visitor(maps), advance)

    def _generate(
        self,
        rows: Sequence[Row],
        hooks: Sequence[Hook],
        visit: Callable[[Hook, int, Tensor], Tensor | None],
        advance: Advance,
        forced: Tensor | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        padded = self._padded(rows)
        return self.model.visit(
            [row.prompt for row in padded],
            hooks,
            visit,
            seeds=[row.seed for row in padded],
            duration=self.settings.duration,
            sampling=self.settings.sampling,
            forced=forced,
            on_step=lambda _: advance(len(rows) / self.n_steps),
        )[: len(rows)]

    # -- hearing -------------------------------------------------------------------------------

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, clips are decoded and classified in a second thread while the next pass is generated.

        At most one pass waits to be heard; an error there is raised at the next pass, or at the end.
        """
        with ThreadPoolExecutor(1) as self._ear:
            try:
                yield
                self.wait()
            finally:
                self._ear = self._heard = None

    def wait(self) -> None:
        """Until what was given to the second thread is in the store."""
        if self._heard is not None:
            self._heard.result()

    def _keep(self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        if self._ear is None:
            self._hear(rows, tokens)
        else:
            self.wait()
            self._heard = self._ear.submit(self._hear, rows, tokens)

    def _hear(self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        failed = (tokens < 0).flatten(1).any(1).cpu().numpy()
        logits = np.concatenate(list(self._logits(rows, tokens.clamp(min=0), failed)))
        logits[failed] = np.nan
        small = tokens.cpu().numpy().astype(np.int16)[..., : None if self.keep_tokens else 0]
        outcomes = {self.key(row): Outcome(logits[i], small[i]) for i, row in enumerate(rows)}
        self.store.put(outcomes, self.about)
        for row in (row for row, bad in zip(rows, failed, strict=True) if bad):
            log.warning("failed: a non-finite value while generating %s", row)

    def _logits(
        self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"], failed: np.ndarray
    ) -> Iterator[Float32[np.ndarray, "some label"]]:
        """The classifier's logits of all rows, a few at a time."""
        model = self.model
        few = clips_at_once(int(self.settings.duration * model.sample_rate), model.device)
        for start in range(0, len(rows), few):
            batch = tokens[start : start + few]
            # Padded, so that a clip never sees another number of neighbours: that would change its last bits.
            audio = model.to_audio(torch.cat([batch, batch[-1:].expand(few - len(batch), -1, -1)]))
            logits = self.voice.classifier.logits(audio, model.sample_rate)
            if self.keep_audio:
                for row, bad, clip in zip(
                    rows[start:], failed[start:], audio[: len(batch)].cpu().numpy(), strict=False
                ):
                    if not bad:
                        self.store.put_clip(self.key(row), clip, model.sample_rate)
            yield logits[: len(batch)].float().cpu().numpy()

    # -- means ---------------------------------------------------------------------------------

    def mean_key(self, source: Mean) -> str:
        """The content address of a concept mean in the store."""
        prompts = [prompt.text for prompt in concept_prompts(CONCEPTS[source.concept], source.n_prompts)]
        named = json.dumps([self._generation, prompts, source.seed, source.history, POINTS])
        return hashlib.sha256(named.encode()).hexdigest()

    def mean(self, source: Mean) -> Mapping[str, Tensor]:
        """The recorded mean activations ``[step, half, d_model]`` that ``source`` names, by hook name."""
        if source not in self._means:
            stored = self.store.mean(self.mean_key(source))
            if stored is None:  # damaged since it was recorded
                self.record(source, lambda _: None)
                stored = self.store.mean(self.mean_key(source))
            assert stored is not None
            self._means[source] = {name: torch.from_numpy(tensor) for name, tensor in stored.items()}
        return self._means[source]

    def resolve(self, source: Mean, hook: str) -> Tensor:
        """One hook's mean (what `compile_edits` asks for)."""
        return self.mean(source)[hook]

    def rows_of(self, source: Mean) -> list[Row]:
        """The unedited rows that a mean is taken over."""
        prompts = concept_prompts(CONCEPTS[source.concept], source.n_prompts)
        return [Row(prompt.text, source.seed) for prompt in prompts]

    def record(self, source: Mean, advance: Advance, most: int = MIN_PASS) -> None:
        """Generate the concept's prompts once, summing every branch output on the way; their outcomes are kept too."""
        rows = self.rows_of(source)
        hooks = all_hooks(self.model.n_layers, POINTS)
        recorder = MeanRecorder(hooks, self.n_steps, self.model.d_model, self.model.device)
        shared = source.history is History.shared
        forced = self._first_tokens(rows[0]) if shared else None
        for batch in self.packs(rows, most):
            tokens = self._generate(batch, hooks, partial(recorder.see, len(batch)), advance, forced)
            recorder.n_rows += len(batch)
            if (tokens < 0).any():
                name = self.voice.name
                raise UserError(f"model '{name}' gives non-finite activations without any edit: check its weights")
            new = [] if shared else [i for i, row in enumerate(batch) if self.key(row) not in self.store]
            if new:
                self._keep([batch[i] for i in new], tokens[new])
        self.store.put_mean(self.mean_key(source), recorder.means())

    def _first_tokens(self, row: Row) -> Int[Tensor, "1 codebook frame"]:
        stored = self.store.get([self.key(row)]).get(self.key(row))
        if stored is None or not stored.tokens.size:
            return self.tokens([row])
        return torch.from_numpy(stored.tokens[None]).long().to(self.model.device)


def _words(sampling: Sampling) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in asdict(sampling).items())
