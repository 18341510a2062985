"""The engine is the only code that runs the model: rows in, clips and readings of them out.

1. Drop duplicates; ask the store.
2. Record what is asked for, and what the missing rows name: concept means, tuned lenses.
3. Pack the missing rows, of any job and with any edits, into passes; for a narrow model on a CPU, one process a core.
4. Each pass is traced once, read by the listeners that are asked for, and stored (`mech_music.engine.passes`).
5. Clips that were stored before are read by the listeners that have not heard them yet.

Killed at any moment, only passes in flight are lost; run again, it goes on from the store. Several engines, on one
machine or many, can share a store: each claims the passes that it makes, and waits for those that others make.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float32

from mech_music.activations.recipes import Making, has_recipe, in_order, make
from mech_music.activations.sources import Source as Origin
from mech_music.activations.streams import BUDGET, Stream, stream
from mech_music.base.errors import UserError
from mech_music.base.machine import is_out_of_memory, n_cores
from mech_music.base.paths import user_path
from mech_music.base.workers import Advance, spread
from mech_music.config.paths import default_store_dir
from mech_music.config.schema import EngineConfig
from mech_music.edits.row import Half, History, LensFile, Mean, Row, Similarity, Source, Translator
from mech_music.engine.answers import Answers
from mech_music.engine.capacity import Capacity
from mech_music.engine.executors.protocol import Executor, Local, Work, apart
from mech_music.engine.passes import PassRunner, Settings, n_clips, sources_of
from mech_music.engine.progress import clips_bar
from mech_music.listeners.protocol import Listener
from mech_music.listeners.registry import bundled_classifier
from mech_music.models.handle import LazyModel, LoadedModel
from mech_music.models.sampling import Sampling
from mech_music.store import Store
from mech_music.store.shards import Arrays

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator, NamesFilter

_AUDIO_BATCH = 32
_HEARD_AT_ONCE = 64  # stored clips that one process reads for a listener before it asks for more
_POLL = 0.5  # seconds between looks at what other processes are making
Request = Any
"""A row, or a source: one of `mech_music.edits.row`, or of a kind that has a recipe."""
Listeners = Mapping[str, Callable[[], Listener]]
Unit = TypeVar("Unit")


class Engine:
    """Runs rows on one model with one store. What is stored is answered without loading a model.

    Args:
        listeners: by the names that tasks ask for them; each is made when it is first asked for.
        how: pass size, worker processes, and what is kept of a clip; none of it changes a clip.
        quiet: show no progress bar.
        executor: who makes what is not stored; by default this process.
    """

    def __init__(
        self,
        source: LazyModel,
        store: Store,
        settings: Settings,
        listeners: Listeners | None = None,
        how: EngineConfig | None = None,
        quiet: bool = False,
        executor: Executor | None = None,
    ) -> None:
        self.how = how or EngineConfig()
        self.store, self.settings = store, settings
        self.passes = PassRunner(source, store, settings, self.how)
        self.key = self.passes.key
        self._listeners, self._made_listeners = listeners or {}, dict[str, Listener]()
        self.quiet = quiet
        self._executor, self._n_engines = executor or Local(), 1
        self._capacity: Capacity | None = None

    @classmethod
    def of(
        cls,
        model: Generator,
        store: str | Path | None = None,
        duration: float = 4.0,
        sampling: Sampling | None = None,
        listeners: Listeners | None = None,
        name: str = "model",
        quiet: bool = False,
    ) -> Engine:
        """An engine for programs: a loaded model, clips of ``duration`` seconds.

        ``store``: a folder; None for the user's cache folder. ``listeners``: by default ``classifier`` (the bundled
        one). UserError for a folder that cannot be written.
        """
        settings = Settings(sampling or Sampling(), duration)
        place = default_store_dir() if store is None else user_path(store)
        heard = {"classifier": bundled_classifier} if listeners is None else listeners
        return cls(LoadedModel(model, name), Store(place), settings, heard, quiet=quiet)

    @property
    def about(self) -> dict[str, str]:
        """Which model and which listeners were found, for people."""
        heard = {f"{name}_id": listener.id for name, listener in self._made_listeners.items()}
        return {**self.passes.about, **heard}

    def listener(self, name: str) -> Listener:
        """A listener by its name. UserError if there is none of that name."""
        if name not in self._listeners:
            raise UserError(f"unknown listener '{name}'; allowed: {', '.join(self._listeners)}")
        if name not in self._made_listeners:
            self._made_listeners[name] = self._listeners[name]()
        return self._made_listeners[name]

    # -- what the tasks ask --------------------------------------------------------------------

    def ensure(self, requests: Iterable[Request], listeners: Sequence[str] = ()) -> None:
        """Every distinct clip and recording is in the store afterwards, with what each listener reads of the clips."""
        heard = [self.listener(name) for name in listeners]
        self.store.refresh()
        rows, sources = apart(requests)
        missing = self._missing(rows)
        sources = [source for source in sources if source not in self.passes.recording]
        unread = [row for row in rows if any(self.key(row) not in self.store.readings(one.id) for one in heard)]
        if missing or sources or unread:
            self._executor.make(Work(missing, unread, sources, tuple(listeners)), self)
            self.store.refresh()

    def check(self) -> None:
        """Let workers look at what they find, and say it. UserError for one that could not make passes."""
        self._executor.make(Work(), self)

    @property
    def pass_rows(self) -> int:
        """Clips of a pass, at most."""
        return self._fitting().rows

    def make(self, work: Work, n_engines: int = 1) -> None:
        """Make work in this process and its copies, beside ``n_engines`` − 1 other engines that make the same."""
        heard, self._n_engines = [self.listener(name) for name in work.listeners], n_engines
        if work.rows or work.sources:
            self._run(work.rows, work.sources, heard)
        for listener in heard:
            self._listen(work.unread, listener)

    def answers(self, requests: Iterable[Request], listeners: Sequence[str] = ()) -> Answers:
        """The clip and the readings of every distinct row, and every distinct recording."""
        rows, sources = apart(requests)
        self.ensure([*rows, *sources], listeners)
        records = {source: self.passes.recording.get(source) for source in sources}
        named = {one: {name: tensor.numpy() for name, tensor in record.items()} for one, record in records.items()}
        keys = {row: self.key(row) for row in rows}
        readings = {name: self._readings(keys, name) for name in listeners}
        return Answers(keys, readings, named, lambda _: self._clips(keys), self.passes.recording.resolve, self.audio)

    def _readings(self, keys: Mapping[Row, str], listener: str) -> dict[str, Arrays]:
        stored = self.store.readings(self.listener(listener).id)
        found = stored.get(keys.values())
        while lost := [row for row, key in keys.items() if key not in found]:  # damaged on the disk, seen when read
            self.ensure(lost, [listener])
            found |= stored.get(keys[row] for row in lost)
        return found

    def _clips(self, keys: Mapping[Row, str]) -> dict[str, Arrays]:
        found = self.store.clips.get(keys.values())
        while lost := [row for row, key in keys.items() if key not in found]:
            self.ensure(lost)
            found |= self.store.clips.get(keys[row] for row in lost)
        return found

    def audio(self, rows: Sequence[Row]) -> tuple[Float32[np.ndarray, "row sample"], int]:
        """The rows' clips and their sample rate; remade from the tokens, and then kept in the store."""
        keys = {row: self.key(row) for row in rows}
        silent = [row for row in keys if self.store.audio(keys[row]) is None]
        if silent:
            self.ensure(silent)
        for start in range(0, len(silent), _AUDIO_BATCH):
            batch = silent[start : start + _AUDIO_BATCH]
            for row, clip in zip(batch, self.passes.stored_tokens(batch).split(1), strict=True):
                waveform = self.passes.model.to_audio(clip.clamp(min=0))[0].cpu().numpy()
                self.store.put_audio(keys[row], waveform, self.passes.model.sample_rate)
        stored = [clip for row in rows if (clip := self.store.audio(keys[row])) is not None]
        return np.stack([waveform for waveform, _ in stored]), stored[0][1]

    def stream(
        self, hooks: NamesFilter, source: Origin | Sequence[Row], half: Half = Half.both, budget: int = BUDGET
    ) -> Stream:
        """Activations at hooks, as an iterator in constant memory: see `mech_music.activations.streams.stream`.

        ``source``: rows (generated, with their edits), given tokens or audio, or no prompt at all
        (`mech_music.activations.sources`). What rows' edits need is recorded first. UserError for hooks and halves
        that the model does not have.
        """
        if not isinstance(source, Origin):
            self.ensure(sources_of(source))
        model, settings = self.passes.model, self.settings
        return stream(model, hooks, source, half, settings.sampling, settings.duration, self.passes.edits, budget)

    def rows_of(self, keys: Iterable[str]) -> dict[str, Row]:
        """What the stored clips under ``keys`` are, as they were asked for; those of another model have other keys.

        A key that the store does not hold is left out.
        """
        return {key: row for key, row in self.store.rows(keys).items() if self.key(row) == key}

    def _missing(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in dict.fromkeys(rows) if self.key(row) not in self.store.clips]

    # -- work ----------------------------------------------------------------------------------

    def _run(self, rows: Sequence[Row], sources: Sequence[Source], listeners: Sequence[Listener]) -> None:
        for lens in {row.exit.lens for row in rows if row.exit and isinstance(row.exit.lens, LensFile)}:
            self.passes.lens_file(lens)  # a lens of another model is found before that is loaded
        recording = self.passes.recording
        unrecorded = [s for s in dict.fromkeys([*sources, *sources_of(rows)]) if s not in recording]
        with_recipe = [source for source in unrecorded if has_recipe(source)]
        unrecorded = [source for source in unrecorded if source not in with_recipe]
        plain = [source for source in unrecorded if not isinstance(source, Translator)]
        # The history that a concept's prompts share is the first one's own clip.
        shared = [source for source in plain if isinstance(source, Mean) and source.history is History.shared]
        first = self._missing(recording.rows_of(source)[0] for source in shared)
        self._load(listeners)
        for group in in_order(with_recipe):
            self._make_recordings(group)
        if not rows and not unrecorded:
            return
        portions = recording.portions([source for source in unrecorded if isinstance(source, Translator)])
        watched = sum(portion[0].fit.n_clips + portion[0].fit.n_held_out for portion in portions)
        with self._progress(len(rows) + len(first) + sum(map(recording.work, unrecorded)) + watched) as advance:
            self._make(first, listeners, advance)
            self._record(plain, advance)
            for portion in portions:
                self._fit(portion, advance)
            self._make(rows, listeners, advance)

    def _load(self, listeners: Sequence[Listener]) -> None:
        """Before the progress bar, and before worker processes copy this one."""
        _ = self.passes.model
        for listener in listeners:
            listener.load()

    def _make(self, rows: Sequence[Row], listeners: Sequence[Listener], advance: Advance) -> None:
        """Passes over rows until every one is in the store; a round that does not fit is followed by smaller passes.

        The first round's are cut from all rows, as other engines cut theirs that begin at another time.
        """
        advance(len(rows) - len(self._missing(rows)))
        while self._missing(rows):
            packs = self.passes.packs(rows, self._fitting().rows, self._n_workers() * self._n_engines)
            packs = [tuple(missing) for pack in packs if (missing := self._missing(pack))]
            # Engines that share a store begin at different places; where passes differ in size, few overlap.
            begin = random.Random(time.time_ns()).randrange(len(packs))
            packs, rows = packs[begin:] + packs[:begin], self._missing(rows)
            self._round(
                lambda pack, advance: self.passes.perform(pack, listeners, advance),
                packs,
                [n_clips(pack) for pack in packs],
                advance,
            )

    def _record(self, sources: Sequence[Mean | Similarity], advance: Advance) -> None:
        recording = self.passes.recording
        while sources := [source for source in sources if source not in recording]:
            most = self._fitting().rows
            groups = recording.groups(sources, self._n_workers() * self._n_engines)
            sizes = [min(most, sum(len(source.prompts) for source in group)) for group in groups]
            self._round(partial(recording.record, most=most), groups, sizes, advance)

    def _make_recordings(self, group: Sequence[Any]) -> None:
        """Recordings that are made at once; what another process makes is waited for."""
        recording, leases = self.passes.recording, self.store.leases
        while group := [source for source in group if source not in recording]:
            lease = leases.claim(map(recording.key, group))
            try:
                mine = [source for source in group if recording.key(source) in lease.keys and source not in recording]
                making = Making(self.passes, self._fitting().rows, self._n_workers(), self.quiet)
                for source, tensors in (make(mine, making) if mine else {}).items():
                    self.store.put_record(recording.key(source), tensors)
            finally:
                lease.release()
            if not mine:
                self._wait_for_others()

    def _fit(self, portion: Sequence[Translator], advance: Advance) -> None:
        """Generate the clips that the translators of a portion are trained on, and train them, one a process."""
        recording = self.passes.recording
        lease = self.store.leases.claim(map(recording.key, portion))
        try:
            mine = [source for source in portion if recording.key(source) in lease.keys and source not in recording]
            while mine and not recording.watching:
                most = self._fitting().rows
                watch = partial(recording.watch, most=most)
                self._round(watch, [mine], [most], advance, n_workers=1)  # streams stay in this process
            for _ in spread(recording.fit, mine, self._n_workers(), advance):
                pass
        finally:
            recording.forget()
            lease.release()
        while any(source not in recording for source in portion):
            self._wait_for_others()
            if not self.store.leases.held() & set(map(recording.key, portion)):
                self._fit([source for source in portion if source not in recording], advance)

    def _listen(self, rows: Sequence[Row], listener: Listener) -> None:
        """What a listener reads of stored clips that it has not read yet."""
        heard = self.store.readings(listener.id)
        while unread := [row for row in dict.fromkeys(rows) if self.key(row) not in heard]:
            if missing := self._missing(unread):
                self._run(missing, [], [listener])
                continue
            self._load([listener])
            units = [unread[start : start + _HEARD_AT_ONCE] for start in range(0, len(unread), _HEARD_AT_ONCE)]
            with self._progress(len(unread)) as advance:
                self._round(
                    lambda unit, advance: self.passes.listen(unit, listener, advance),
                    units,
                    [len(unit) for unit in units],
                    advance,
                )

    def _round(
        self,
        work: Callable[[Unit, Advance], int],
        units: Sequence[Unit],
        sizes: Sequence[int],
        advance: Advance,
        n_workers: int | None = None,
    ) -> None:
        """Work on units until all are done or one, of a pass of so many rows, does not fit: the next are smaller.

        ``work`` returns how much it made: where others make everything, they are waited for. UserError if passes
        cannot be any smaller.
        """

        def fits(unit: Unit, advance: Advance) -> int | None:
            try:
                return work(unit, advance)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return None

        n, made = n_workers or self._n_workers(), 0
        alone = n == 1 or len(units) == 1
        with self.passes.scorer.in_background() if alone else nullcontext():
            for place, found in spread(fits, units, n, advance):
                if found is None:
                    self._shrink(sizes[place])
                    return
                made += found
        if made:
            self.store.refresh()
        else:
            self._wait_for_others()

    def _wait_for_others(self) -> None:
        time.sleep(_POLL)
        self.store.refresh()

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
            model = self.passes.model
            self._capacity = Capacity(model, self.settings.duration, self.how.pack, self._n_workers())
        return self._capacity

    def _n_workers(self) -> int:
        """A process for each core where one thread is what the model uses, else this one alone."""
        if self.passes.model.device.type != "cpu":
            return 1
        return self.how.workers or (n_cores() if torch.get_num_threads() == 1 else 1)

    @contextmanager
    def _progress(self, total: float) -> Iterator[Advance]:
        """One bar over clips."""
        with clips_bar(hidden=self.quiet) as progress:
            task = progress.add_task("clips", total=round(total))
            yield lambda clips: progress.advance(task, clips)
            progress.update(task, completed=total)  # the fractions of steps lose a little to rounding
