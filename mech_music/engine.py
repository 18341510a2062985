"""The engine is the only code that runs the model: rows in, outcomes out.

1. Drop duplicates; ask the store.
2. Record the concept means that the missing rows' edits name (the recorded rows' outcomes are kept too).
3. Pack the missing rows, of any job and with any edits, into passes; trace each pass once.
4. Decode and classify; write each pass to the store in one piece.

Killed at any moment, at most two passes are lost (one being generated, one being heard); run again, it goes on from
the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from jaxtyping import Float32, Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from mech_music.affine import compile_edits, visitor
from mech_music.concepts import CONCEPTS, concept_prompts
from mech_music.config import RunConfig
from mech_music.edits import History, Mean, Row
from mech_music.errors import UserError
from mech_music.hooks import Hook, all_hooks
from mech_music.means import POINTS, MeanRecorder
from mech_music.paths import default_store_dir
from mech_music.sampling import Sampling
from mech_music.store import Outcome, Store

if TYPE_CHECKING:
    from mech_music.classifier import Classifier
    from mech_music.model import HookedMusicGen

log = logging.getLogger(__name__)
Advance = Callable[[float], None]
_VERSION = 1  # raise it when a change of this code changes what a row gives
_MIN_PASS = 4  # smaller matrix products take another path in the BLAS, with other last bits
_MICRO_BATCH = 8  # clips decoded and classified at once; padded, so that a clip never sees another size


@dataclass(frozen=True)
class Settings:
    """What decides a clip beside the model and its row; and ``pack``, the rows of a pass (0: automatic)."""

    sampling: Sampling
    duration: float = 4.0
    pack: int = 0


class Voice(Protocol):
    """A model and the classifier that listens to it; loaded when they are first needed.

    The two ids decide, with the settings and the row, what an outcome is: weights, number format and
    device of the model, weights of the classifier.
    """

    @property
    def model_id(self) -> str: ...
    @property
    def classifier_id(self) -> str: ...
    @property
    def model(self) -> HookedMusicGen: ...
    @property
    def classifier(self) -> Classifier: ...


class Engine:
    """Runs rows on one voice with one store. What is stored is answered without loading a model.

    Args:
        quiet: show no progress bar.
    """

    def __init__(self, voice: Voice, store: Store, settings: Settings, quiet: bool = False) -> None:
        self.voice, self.store, self.settings = voice, store, settings
        deciding = [_VERSION, voice.model_id, asdict(settings.sampling), settings.duration]
        self._generation = json.dumps(deciding, sort_keys=True)
        self._context = self._generation + voice.classifier_id
        self._means: dict[Mean, dict[str, Tensor]] = {}
        self._lengths: dict[str, int] = {}
        self._quiet, self._running = quiet, False
        self._ear: ThreadPoolExecutor | None = None
        self._heard: Future[None] | None = None

    @property
    def model(self) -> HookedMusicGen:
        return self.voice.model

    @cached_property
    def n_steps(self) -> int:
        return self.model.n_steps(self.settings.duration)

    # -- what the tasks ask --------------------------------------------------------------------

    def key(self, row: Row) -> str:
        """The row's content address in the store."""
        return row.key(self._context)

    def outcomes(self, rows: Iterable[Row]) -> dict[Row, Outcome]:
        """The outcome of every distinct row; only what the store lacks is computed."""
        keys = {row: self.key(row) for row in rows}
        self.store.refresh()
        found = self.store.get(keys.values())
        missing = [row for row, key in keys.items() if key not in found]
        if missing:
            self._run(missing)
            found |= self.store.get(keys[row] for row in missing)
        return {row: found[key] for row, key in keys.items()}

    def audio(self, rows: Sequence[Row]) -> tuple[Float32[np.ndarray, "row sample"], int]:
        """The rows' clips and their sample rate; remade from the tokens, and then kept in the store."""
        outcomes = self.outcomes(rows)
        missing = [row for row in rows if self.store.clip(outcomes[row].key) is None]
        for start in range(0, len(missing), _MICRO_BATCH):
            batch = missing[start : start + _MICRO_BATCH]
            tokens = torch.from_numpy(np.stack([outcomes[row].tokens for row in batch])).long()
            for row, clip in zip(batch, self.model.to_audio(tokens.clamp(min=0)).cpu().numpy(), strict=True):
                self.store.put_clip(outcomes[row].key, clip, self.model.sample_rate)
        stored = [clip for row in rows if (clip := self.store.clip(outcomes[row].key)) is not None]
        return np.stack([waveform for waveform, _ in stored]), stored[0][1]

    # -- passes --------------------------------------------------------------------------------

    def _run(self, rows: Sequence[Row]) -> None:
        sources = dict.fromkeys(t.source for row in rows for edit in row.edits for t in edit.shift)
        unrecorded = [source for source in sources if not self.store.has_mean(self._mean_key(source))]
        with self._progress(len(rows) + sum(source.n_prompts for source in unrecorded)) as advance, self._listening():
            for source in unrecorded:
                self._record(source, advance)
            self._wait()
            rest = [row for row in rows if self.key(row) not in self.store]
            advance(len(rows) - len(rest))
            for batch in self._packs(rest):
                self._pass(batch, advance)

    @contextmanager
    def _progress(self, total: int) -> Iterator[Advance]:
        """One bar over clips; a run inside a run has none of its own."""
        if self._running:
            yield lambda clips: None
            return
        columns = (
            TextColumn("clips"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._running = True
        try:
            with Progress(*columns, console=Console(stderr=True), disable=self._quiet) as progress:
                task = progress.add_task("clips", total=total)
                yield lambda clips: progress.advance(task, clips)
                progress.update(task, completed=total)  # the fractions of steps lose a little to rounding
        finally:
            self._running = False

    def _packs(self, rows: Iterable[Row]) -> Iterable[tuple[Row, ...]]:
        """Passes of rows whose prompts have the same length (padding would be seen by cross-attention)."""
        for _, same in groupby(sorted(rows, key=self._length), key=self._length):
            group = tuple(same)
            pack = self.settings.pack or automatic_pack(self.model, self.settings.duration)
            for start in range(0, len(group), pack):
                yield group[start : start + pack]

    def _length(self, row: Row) -> int:
        if row.prompt not in self._lengths:
            self._lengths[row.prompt] = self.model.prompt_length(row.prompt)
        return self._lengths[row.prompt]

    def _pass(self, rows: tuple[Row, ...], advance: Advance) -> None:
        maps = compile_edits(_padded(rows), self._resolve, self.n_steps, self.model.device)
        tokens = self._generate(rows, tuple(maps), visitor(maps), advance)
        self._keep(rows, tokens)

    def _generate(
        self,
        rows: Sequence[Row],
        hooks: Sequence[Hook],
        visit: Callable[[Hook, int, Tensor], Tensor | None],
        advance: Advance,
        forced: Tensor | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        padded = _padded(rows)
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

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Within, clips are decoded and classified in a second thread while the next pass is generated."""
        if self._ear is not None:
            yield
            return
        with ThreadPoolExecutor(1) as self._ear:
            try:
                yield
                self._wait()
            finally:
                self._ear = self._heard = None

    def _wait(self) -> None:
        """Until what was given to the second thread is in the store; an error there is raised here."""
        if self._heard is not None:
            self._heard.result()

    def _keep(self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        """Hear the clips and store their outcomes; at most one pass waits to be heard."""
        if self._ear is None:
            self._hear(rows, tokens)
        else:
            self._wait()
            self._heard = self._ear.submit(self._hear, rows, tokens)

    def _hear(self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
        failed = (tokens < 0).flatten(1).any(1).cpu().numpy()
        logits = np.concatenate([self._classify(batch) for batch in tokens.clamp(min=0).split(_MICRO_BATCH)])
        logits[failed] = np.nan
        small = tokens.cpu().numpy().astype(np.int16)
        self.store.put({self.key(row): Outcome(logits[i], small[i]) for i, row in enumerate(rows)})
        for row in (row for row, bad in zip(rows, failed, strict=True) if bad):
            log.warning("failed: a non-finite value while generating %s", row)

    def _classify(self, tokens: Int[Tensor, "row codebook frame"]) -> Float32[np.ndarray, "row label"]:
        n = len(tokens)
        padded = torch.cat([tokens, tokens[-1:].expand(_MICRO_BATCH - n, -1, -1)])
        audio = self.model.to_audio(padded)
        return self.voice.classifier.logits(audio, self.model.sample_rate)[:n].float().cpu().numpy()

    # -- means ---------------------------------------------------------------------------------

    def _mean_key(self, source: Mean) -> str:
        prompts = [prompt.text for prompt in concept_prompts(CONCEPTS[source.concept], source.n_prompts)]
        named = json.dumps([self._generation, prompts, source.seed, source.history, POINTS])
        return hashlib.sha256(named.encode()).hexdigest()

    def mean(self, source: Mean) -> Mapping[str, Tensor]:
        """The mean activations ``[step, half, d_model]`` that ``source`` names, by hook name."""
        if source not in self._means:
            stored = self.store.mean(self._mean_key(source))
            if stored is None:
                self._record(source, lambda _: None)
                stored = self.store.mean(self._mean_key(source))
            assert stored is not None
            self._means[source] = {name: torch.from_numpy(tensor) for name, tensor in stored.items()}
        return self._means[source]

    def _resolve(self, source: Mean, hook: str) -> Tensor:
        return self.mean(source)[hook]

    def _record(self, source: Mean, advance: Advance) -> None:
        """Generate the concept's prompts once, summing every branch output on the way."""
        prompts = concept_prompts(CONCEPTS[source.concept], source.n_prompts)
        rows = [Row(prompt.text, source.seed) for prompt in prompts]
        hooks = all_hooks(self.model.n_layers, POINTS)
        recorder = MeanRecorder(hooks, self.n_steps, self.model.d_model, self.model.device)
        forced = None
        if source.history is History.shared:
            first = self.outcomes(rows[:1])[rows[0]]
            forced = torch.from_numpy(first.tokens[None]).long().to(self.model.device)
        for batch in self._packs(rows):
            tokens = self._generate(batch, hooks, partial(recorder.see, len(batch)), advance, forced)
            recorder.n_rows += len(batch)
            if (tokens < 0).any():
                name = self.model.musicgen.name
                raise UserError(f"model '{name}' gives non-finite activations without any edit: check its weights")
            if forced is None:
                self._keep(batch, tokens)
        self.store.put_mean(self._mean_key(source), recorder.means())


def open_engine(run: RunConfig) -> Engine:
    """The engine that a config asks for; jobs that agree on model, classifier and settings share one."""
    wanted = (str(run.model), str(run.classifier), astuple(run.sampling), run.duration, astuple(run.engine))
    if wanted not in _ENGINES:
        from mech_music.loading import Checkpoint

        store = Store(Path(run.engine.store).expanduser() if run.engine.store else default_store_dir())
        settings = Settings(Sampling(**asdict(run.sampling)), run.duration, run.engine.pack)
        _ENGINES.clear()  # one model in memory at a time
        voice = Checkpoint(run.model, run.classifier, run.engine.device, run.engine.threads)
        _ENGINES[wanted] = Engine(voice, store, settings)
    return _ENGINES[wanted]


_ENGINES: dict[tuple[object, ...], Engine] = {}


def automatic_pack(model: HookedMusicGen, duration: float) -> int:
    """Rows in a pass: half of the GPU's free memory in attention caches; on a CPU, what its caches like."""
    if model.device.type != "cuda":
        return 128
    numbers_a_row = 2 * 2 * model.n_layers * model.n_steps(duration) * model.d_model  # keys, values; both halves
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(_MIN_PASS, int(free / 2 / (numbers_a_row * model.dtype.itemsize)))


def _padded(rows: Sequence[Row]) -> list[Row]:
    """A pass of at least `_MIN_PASS` rows; what is added is thrown away afterwards."""
    return [*rows, *[Row(rows[-1].prompt, rows[-1].seed)] * (_MIN_PASS - len(rows))]
