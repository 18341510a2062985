"""The engine is the only code that runs the model: rows in, outcomes out.

1. Drop duplicates; ask the store.
2. Record the concept means that the missing rows' edits name (the recorded rows' outcomes are kept too).
3. Pack the missing rows, of any job and with any edits, into passes; trace each pass once.
4. Decode and classify; write each pass to the store in one piece.

Interrupted at any moment, at most the pass in flight is lost; run again, it goes on from the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from mech_music.affine import compile_edits, visitor
from mech_music.concepts import CONCEPTS, concept_prompts
from mech_music.config import RunConfig
from mech_music.decode import Sampling
from mech_music.edits import History, Mean, Row
from mech_music.errors import UserError
from mech_music.hooks import Hook, all_hooks
from mech_music.means import POINTS, MeanRecorder
from mech_music.model import HookedMusicGen
from mech_music.paths import default_store_dir
from mech_music.store import Outcome, Store

if TYPE_CHECKING:
    from mech_music.classifier import Classifier

log = logging.getLogger(__name__)
Advance = Callable[[float], None]
_VERSION = 1  # raise it when a change of this code changes what a row gives
_MIN_PASS = 4  # smaller matrix products take another path in the BLAS, with other last bits
_MICRO_BATCH = 8  # clips decoded and classified at once; padded, so that a clip never sees another size


@dataclass(frozen=True)
class Settings:
    """What decides a clip beside the model and its row, and how much runs at once."""

    sampling: Sampling
    duration: float = 4.0
    pack: int = 128


class Engine:
    """Runs rows on one model and classifier with one store.

    Args:
        quiet: show no progress bar.
    """

    def __init__(
        self, model: HookedMusicGen, classifier: Classifier, store: Store, settings: Settings, quiet: bool = False
    ) -> None:
        self.model, self.classifier, self.store, self.settings = model, classifier, store, settings
        self.n_steps = model.n_steps(settings.duration)
        self.sample_rate = model.sample_rate
        self._generation = json.dumps(
            {
                "version": _VERSION,
                "model": model.fingerprint,
                "sampling": asdict(settings.sampling),
                "frames": model.n_frames(settings.duration),
                "device": model.device.type,
                "dtype": str(model.dtype),
            },
            sort_keys=True,
        )
        self._context = self._generation + classifier.fingerprint
        self._means: dict[Mean, dict[str, Tensor]] = {}
        self._lengths: dict[str, int] = {}
        self._quiet, self._running = quiet, False

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

    def audio(self, rows: Sequence[Row]) -> Float32[np.ndarray, "row sample"]:
        """The rows' clips at `sample_rate`, remade from their tokens."""
        outcomes = self.outcomes(rows)
        tokens = torch.from_numpy(np.stack([outcomes[row].tokens for row in rows])).long()
        clips = [self.model.to_audio(batch) for batch in tokens.clamp(min=0).split(_MICRO_BATCH)]
        return torch.cat(clips).cpu().numpy()

    # -- passes --------------------------------------------------------------------------------

    def _run(self, rows: Sequence[Row]) -> None:
        sources = dict.fromkeys(t.source for row in rows for edit in row.edits for t in edit.shift)
        unrecorded = [source for source in sources if not self.store.has_mean(self._mean_key(source))]
        with self._progress(len(rows) + sum(source.n_prompts for source in unrecorded)) as advance:
            for source in unrecorded:
                self._record(source, advance)
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
        finally:
            self._running = False

    def _packs(self, rows: Iterable[Row]) -> Iterable[tuple[Row, ...]]:
        """Passes of rows whose prompts have the same length (padding would be seen by cross-attention)."""
        for _, same in groupby(sorted(rows, key=self._length), key=self._length):
            group = tuple(same)
            for start in range(0, len(group), self.settings.pack):
                yield group[start : start + self.settings.pack]

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

    def _keep(self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"]) -> None:
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
        return self.classifier.logits(audio, self.sample_rate)[:n].float().cpu().numpy()

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
    from mech_music.classifier import load_classifier
    from mech_music.loading import load_model, pick_device

    wanted = (
        run.model.path or run.model.hub_id, run.model.dtype.value, run.classifier.name, run.classifier.path,
        astuple(run.sampling), run.duration, run.engine.device, run.engine.pack, run.engine.store,
    )  # fmt: skip
    if wanted not in _ENGINES:
        torch.set_num_threads(run.engine.threads or os.cpu_count() or 1)
        model = load_model(run.model.path, run.model.hub_id, run.engine.device, run.model.dtype.value)
        if model.n_layers != run.model.layers:
            raise UserError(
                f"model.layers={run.model.layers}, but the checkpoint has {model.n_layers} layers: "
                f"set model.layers={model.n_layers}"
            )
        classifier = load_classifier(run.classifier.name, run.classifier.path, str(pick_device(run.engine.device)))
        store = Store(Path(run.engine.store).expanduser() if run.engine.store else default_store_dir())
        pack = run.engine.pack or automatic_pack(model, run.duration)
        settings = Settings(Sampling(**asdict(run.sampling)), run.duration, pack)
        _ENGINES.clear()  # one model in memory at a time
        _ENGINES[wanted] = Engine(model, classifier, store, settings)
    return _ENGINES[wanted]


_ENGINES: dict[tuple, Engine] = {}


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
