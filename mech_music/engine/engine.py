"""The engine is the only code that runs the model: rows in, outcomes out.

1. Drop duplicates; ask the store.
2. Record what is asked for, and what the missing rows name: concept means, tuned lenses.
3. Pack the missing rows, of any job and with any edits, into passes; for a narrow model on a CPU, one process a core.
4. Each pass is traced once, heard, and written to the store in one piece (`mech_music.engine.passes`).

Killed at any moment, only passes in flight are lost; run again, it goes on from the store. Several engines, on one
machine or many, can share a store: they take passes in different orders and leave out what another has finished.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from mech_music.activations.recording import Record
from mech_music.config.paths import default_store_dir
from mech_music.config.schema import EngineConfig, RunConfig
from mech_music.edits.row import History, LensFile, Mean, Row, Similarity, Source, Translator
from mech_music.engine.capacity import Capacity, is_out_of_memory
from mech_music.engine.passes import Performer, Settings, sources_of
from mech_music.engine.scorer import Voice
from mech_music.engine.workers import Advance, n_cores, spread
from mech_music.errors import UserError
from mech_music.models.sampling import Sampling
from mech_music.store import Outcome, Store

_AUDIO_BATCH = 32
Request = Row | Source
Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Answers:
    """What an engine says to requests: clips by row, recordings by source."""

    outcomes: Mapping[Row, Outcome]
    records: Mapping[Source, Record] = field(default_factory=dict)


class Engine:
    """Runs rows on one voice with one store. What is stored is answered without loading a model.

    Args:
        how: pass size, worker processes, and what is kept of a clip; none of it changes an outcome.
        quiet: show no progress bar.
    """

    def __init__(
        self, voice: Voice, store: Store, settings: Settings, how: EngineConfig | None = None, quiet: bool = False
    ) -> None:
        self.how = how or EngineConfig()
        self.store, self.settings = store, settings
        self.performer = Performer(voice, store, settings, self.how.keep_tokens, self.how.keep_audio)
        self.key = self.performer.key
        self.about = self.performer.about
        self._quiet = quiet
        self._capacity: Capacity | None = None

    # -- what the tasks ask --------------------------------------------------------------------

    def ensure(self, requests: Iterable[Request]) -> None:
        """Every distinct row and recording is in the store afterwards; only what it lacks is computed."""
        self.store.refresh()
        wanted = list(dict.fromkeys(requests))
        rows = self._missing(request for request in wanted if isinstance(request, Row))
        sources = [request for request in wanted if not isinstance(request, Row)]
        sources = [source for source in sources if source not in self.performer.recording]
        if rows or sources:
            self._run(rows, sources)

    def answers(self, requests: Iterable[Request]) -> Answers:
        """The outcome of every distinct row, and every distinct recording."""
        wanted = list(dict.fromkeys(requests))
        self.ensure(wanted)
        rows = [request for request in wanted if isinstance(request, Row)]
        sources = [request for request in wanted if not isinstance(request, Row)]
        records = {source: self.performer.recording.get(source) for source in sources}
        named = {
            source: {name: tensor.numpy() for name, tensor in record.items()} for source, record in records.items()
        }
        return Answers(self.outcomes(rows), named)

    def outcomes(self, rows: Iterable[Row]) -> dict[Row, Outcome]:
        """The outcome of every distinct row."""
        keys = {row: self.key(row) for row in rows}
        self.ensure(keys)
        found = self.store.get(keys.values())
        while lost := [row for row, key in keys.items() if key not in found]:  # damaged on the disk, seen when read
            self._run(lost, [])
            found |= self.store.get(keys[row] for row in lost)
        return {row: found[key] for row, key in keys.items()}

    def audio(self, rows: Sequence[Row]) -> tuple[Float32[np.ndarray, "row sample"], int]:
        """The rows' clips and their sample rate; remade from the tokens, and then kept in the store."""
        outcomes = self.outcomes(rows)
        keys = {row: outcomes[row].key for row in rows}
        missing = [row for row in keys if self.store.clip(keys[row]) is None]
        for start in range(0, len(missing), _AUDIO_BATCH):
            batch = missing[start : start + _AUDIO_BATCH]
            tokens = self._tokens(batch, outcomes)
            for row, clip in zip(batch, tokens.split(1), strict=True):
                waveform = self.performer.model.to_audio(clip.clamp(min=0))[0].cpu().numpy()
                self.store.put_clip(keys[row], waveform, self.performer.model.sample_rate)
        stored = [clip for row in rows if (clip := self.store.clip(keys[row])) is not None]
        return np.stack([waveform for waveform, _ in stored]), stored[0][1]

    def _tokens(self, rows: Sequence[Row], outcomes: Mapping[Row, Outcome]) -> Tensor:
        if all(outcomes[row].tokens.size for row in rows):
            return torch.from_numpy(np.stack([outcomes[row].tokens for row in rows])).long()
        return self.performer.tokens(rows)

    def _missing(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in dict.fromkeys(rows) if self.key(row) not in self.store]

    # -- work ----------------------------------------------------------------------------------

    def _run(self, rows: Sequence[Row], sources: Sequence[Source]) -> None:
        for lens in {row.exit.lens for row in rows if row.exit and isinstance(row.exit.lens, LensFile)}:
            self.performer.lens_file(lens)  # a lens of another model is found before that is loaded
        recording = self.performer.recording
        unrecorded = [s for s in dict.fromkeys([*sources, *sources_of(rows)]) if s not in recording]
        plain = [source for source in unrecorded if not isinstance(source, Translator)]
        # The history that a concept's prompts share is the first one's own clip.
        shared = [source for source in plain if isinstance(source, Mean) and source.history is History.shared]
        first = self._missing(recording.rows_of(source)[0] for source in shared)
        self.performer.load()  # before the bar and the worker processes
        portions = recording.portions([source for source in unrecorded if isinstance(source, Translator)])
        watched = sum(portion[0].fit.n_clips + portion[0].fit.n_held_out for portion in portions)
        with self._progress(len(rows) + len(first) + sum(map(recording.work, unrecorded)) + watched) as advance:
            self._make(first, advance)
            self._record(plain, advance)
            for portion in portions:
                self._fit(portion, advance)
            rest = self._missing(rows)
            advance(len(rows) - len(rest))
            self._make(rest, advance)

    def _make(self, rows: Sequence[Row], advance: Advance) -> None:
        """Passes over rows until every one is in the store; a round that does not fit is followed by smaller passes."""
        while rows := self._missing(rows):
            packs = self.performer.packs(rows, self._fitting().rows, self._n_workers())
            random.Random(os.getpid()).shuffle(packs)  # engines that share a store take different passes
            self._round(self.performer.perform, packs, [_clips(pack) for pack in packs], advance)
            self.store.refresh()

    def _record(self, sources: Sequence[Mean | Similarity], advance: Advance) -> None:
        while sources := [source for source in sources if source not in self.performer.recording]:
            most = self._fitting().rows
            sizes = [min(most, source.n_prompts) for source in sources]
            self._round(partial(self.performer.recording.record, most=most), sources, sizes, advance)
            self.store.refresh()

    def _fit(self, portion: Sequence[Translator], advance: Advance) -> None:
        """Watch the clips once, then train the translators side by side; each is stored when it is done."""
        recording = self.performer.recording
        while not recording.watching:
            most = self._fitting().rows
            self._round(partial(recording.watch, most=most), [portion], [most], advance)
        for _ in spread(recording.fit, portion, self._n_workers(), advance):
            pass
        recording.forget()

    def _round(
        self,
        work: Callable[[Unit, Advance], None],
        units: Sequence[Unit],
        sizes: Sequence[int],
        advance: Advance,
    ) -> None:
        """Work on units until all are done or one, of a pass of so many rows, does not fit: the next are smaller.

        UserError if they cannot be any smaller.
        """

        def fits(unit: Unit, advance: Advance) -> bool:
            try:
                work(unit, advance)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return False
            return True

        n = self._n_workers()
        alone = n == 1 or len(units) == 1
        with self.performer.ear.beside() if alone else nullcontext():
            for place, fitted in spread(fits, units, n, advance):
                if not fitted:
                    self._shrink(sizes[place])
                    return

    def _shrink(self, rows: int) -> None:
        if not self._fitting().halve(rows):
            raise UserError(
                f"out of memory with a pass of {rows} rows, the smallest: use a smaller model, a shorter "
                "duration, model.dtype=float16 on a GPU, or free memory"
            )
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fitting(self) -> Capacity:
        if self._capacity is None:
            model = self.performer.model
            self._capacity = Capacity(model, self.settings.duration, self.how.pack, self._n_workers())
        return self._capacity

    def _n_workers(self) -> int:
        """A process for each core where one thread is what the model uses, else this one alone."""
        if self.performer.model.device.type != "cpu":
            return 1
        return self.how.workers or (n_cores() if torch.get_num_threads() == 1 else 1)

    @contextmanager
    def _progress(self, total: float) -> Iterator[Advance]:
        """One bar over clips."""
        columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), disable=self._quiet) as progress:
            task = progress.add_task("clips", total=round(total))
            yield lambda clips: progress.advance(task, clips)
            progress.update(task, completed=total)  # the fractions of steps lose a little to rounding


def _clips(pack: Sequence[Row]) -> int:
    """The rows of a pass's batch: several exits of one clip take one."""
    return len({replace(row, exit=None) for row in pack})


def open_engine(run: RunConfig) -> Engine:
    """The engine that a config asks for; jobs that agree on model, classifier and settings share one."""
    wanted = (str(run.model), str(run.classifier), astuple(run.sampling), run.duration, astuple(run.engine))
    if wanted not in _ENGINES:
        from mech_music.models.musicgen.loading import Checkpoint

        store = Store(Path(run.engine.store).expanduser() if run.engine.store else default_store_dir())
        settings = Settings(Sampling(**asdict(run.sampling)), run.duration)
        _ENGINES.clear()  # one model in memory at a time
        voice = Checkpoint(run.model, run.classifier, run.engine.device, run.engine.threads)
        _ENGINES[wanted] = Engine(voice, store, settings, run.engine)
    return _ENGINES[wanted]


_ENGINES: dict[tuple[object, ...], Engine] = {}
