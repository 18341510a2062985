"""What is recorded of a model's own generations: concept means, similarities of layers, tuned lenses."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from mech_music.activations.means import HEAD_POINTS, POINTS, MeanRecorder, means_at_once
from mech_music.activations.recipes import Making, has_recipe, make, resolver_of
from mech_music.activations.similarity import MEASURES, SimilarityRecorder
from mech_music.base.errors import UserError
from mech_music.base.machine import free_memory
from mech_music.base.workers import Advance
from mech_music.edits.content import canonical
from mech_music.edits.row import Fit, History, Mean, Row, Similarity, Source, Translator
from mech_music.lenses.readout import Translation
from mech_music.lenses.tuned import StreamRecorder, clips_of, measure, train
from mech_music.models.hooks import Hook, all_hooks
from mech_music.models.protocol import MIN_PASS

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

log = logging.getLogger(__name__)
Record = Mapping[str, np.ndarray]
_POLL = 0.2  # seconds between looks at what another process records
_SHARE = 0.3  # of the free memory, for the streams that lenses are trained on
_TRAINING = 0.25  # of a clip's share of the progress bar, for each clip that one translator is trained on


class Recorder(Protocol):
    """Looks at unedited generations, pass by pass, for one recording or several. ``most``: clips that it can hold.

    ``places``: which of the rows a pass is over; passes go by the length of prompts.
    """

    @property
    def hooks(self) -> Sequence[Hook]: ...
    @property
    def most(self) -> int: ...
    def begin_pass(self, places: Sequence[int]) -> None: ...
    def see(self, hook: Hook, step: int, value: Tensor) -> None: ...
    def end_pass(self, places: Sequence[int]) -> None: ...
    def tensors(self) -> list[dict[str, np.ndarray]]: ...


class Recording:
    """The recordings of one pass runner: made once, and found in its store."""

    def __init__(self, passes: PassRunner) -> None:
        self._passes, self._store = passes, passes.store
        self._read: dict[Any, dict[str, Tensor]] = {}
        self._watched: _Watched | None = None

    # -- what there is -------------------------------------------------------------------------

    def key(self, source: Any) -> str:
        """The content address of a recording in the store."""
        deciding = [self._passes.generation, canonical(source), _points(source)]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()

    def __contains__(self, source: Any) -> bool:
        return self._store.has_record(self.key(source))

    def get(self, source: Any) -> dict[str, Tensor]:
        """What was recorded, by name; recorded again if it was damaged since."""
        if source not in self._read:
            while (stored := self._store.record(self.key(source))) is None:
                if not self._again(source):
                    time.sleep(_POLL)
            self._read[source] = {name: torch.from_numpy(tensor) for name, tensor in stored.items()}
        return self._read[source]

    def _again(self, source: Any) -> bool:
        """False where another process, which saw the damage too, is making it."""
        if has_recipe(source):
            for one, tensors in make([source], Making(self._passes, MIN_PASS, quiet=True)).items():
                self._store.put_record(self.key(one), tensors)
            return True
        if isinstance(source, Translator):
            self.watch([source], lambda _: None)
            self.fit(source, lambda _: None)
            return True
        return self.record([source], lambda _: None) > 0

    def resolve(self, source: Any, hook: str) -> Tensor:
        """The tensor ``[step, half, d_model]`` that a source names at a hook (what `compile_edits` asks for).

        UserError for a mean where none is taken.
        """
        if resolver := resolver_of(source):
            steps, halves = self._passes.n_steps, self._passes.model.halves
            return resolver(source, hook, self._passes).expand(steps, halves, -1)
        if hook not in (means := self.get(source)):
            points = ", ".join((*POINTS, *HEAD_POINTS))
            raise UserError(f"edit of '{hook}': means are taken at {points}; here, scale or patch instead")
        return means[hook]

    def translation(self, source: Translator) -> Translation:
        """One hook's trained map."""
        found = self.get(source)
        return Translation(found["weight"], found["bias"])

    # -- means and similarities ----------------------------------------------------------------

    def rows_of(self, source: Mean | Similarity) -> list[Row]:
        """The unedited rows that are looked at."""
        return [Row(prompt, source.seed) for prompt in source.prompts.texts]

    def groups(self, sources: Sequence[Mean | Similarity], n_workers: int) -> list[list[Mean | Similarity]]:
        """Recordings that are made of one generation: means over each prompt's own tokens, as many as fit."""
        model = self._passes.model
        for prompt in {prompt: None for source in sources for prompt in source.prompts.texts}:
            model.group_of(prompt)  # warns of words that are not known: here once, not in each worker
        groups: list[list[Mean | Similarity]] = []
        for heads in (False, True):
            own: list[Mean | Similarity] = [
                s for s in sources if isinstance(s, Mean) and s.history is History.own and s.heads is heads
            ]
            hooks = len(self._mean_hooks(heads))
            most = means_at_once(hooks, self._passes.n_steps, model.halves, model.d_model) if own else 1
            most = min(most, -(-len(own) // n_workers) or 1)
            groups += [own[start : start + most] for start in range(0, len(own), most)]
        grouped = {source for group in groups for source in group}
        return groups + [[source] for source in sources if source not in grouped]

    def record(self, sources: Sequence[Mean | Similarity], advance: Advance, most: int = MIN_PASS) -> int:
        """Generate the prompts of a group once, watching on the way; their clips are kept too.

        Returns how many recordings were made: not those that another process has made, or is making.
        """
        lease = self._store.leases.claim(map(self.key, sources))
        try:
            mine = [source for source in sources if self.key(source) in lease.keys and source not in self]
            advance(sum(self.work(source) for source in sources if source not in mine))
            if mine:
                self._record(mine, advance, most)
        finally:
            lease.release()
        return len(mine)

    def _record(self, sources: Sequence[Mean | Similarity], advance: Advance, most: int) -> None:
        of_each = [self.rows_of(source) for source in sources]
        rows = list(dict.fromkeys(row for some in of_each for row in some))
        recorder = self._recorder(sources, torch.tensor([[some.count(row) for some in of_each] for row in rows]))
        shared = isinstance(sources[0], Mean) and sources[0].history is History.shared
        forced = self._first_tokens(rows[0]) if shared else None
        for batch in self._passes.packs(rows, min(most, recorder.most)):
            places = [rows.index(row) for row in batch]
            recorder.begin_pass(places)
            tokens = self._passes.observe(batch, recorder.hooks, recorder.see, advance, forced)
            self._must_be_finite(tokens)
            recorder.end_pass(places)
            new = [] if shared else [i for i, row in enumerate(batch) if self._passes.key(row) not in self._store.clips]
            if new:
                self._passes.keep([batch[i] for i in new], tokens[new])
        for source, tensors in zip(sources, recorder.tensors(), strict=True):
            self._store.put_record(self.key(source), tensors)

    def _recorder(self, sources: Sequence[Mean | Similarity], counts: Int[Tensor, "row source"]) -> Recorder:
        model, n_steps, first = self._passes.model, self._passes.n_steps, sources[0]
        if isinstance(first, Mean):
            return MeanRecorder(self._mean_hooks(first.heads), n_steps, counts)
        hooks = all_hooks(model.n_layers, (first.point,))
        return SimilarityRecorder(hooks, n_steps, model.d_model, first.half)

    def _mean_hooks(self, heads: bool) -> tuple[Hook, ...]:
        model = self._passes.model
        return all_hooks(model.n_layers, {*(HEAD_POINTS if heads else POINTS)} & {*model.points})

    def _must_be_finite(self, tokens: Tensor) -> None:
        if (tokens < 0).any():
            name = self._passes.source.name
            raise UserError(f"model '{name}' gives non-finite activations without any edit: check its weights")

    def _first_tokens(self, row: Row) -> Int[Tensor, "1 codebook frame"]:
        key = self._passes.key(row)
        stored = self._store.clips.get([key]).get(key)
        if stored is None or not stored["tokens"].size:
            return self._passes.tokens([row])
        return torch.from_numpy(stored["tokens"][None]).long().to(self._passes.model.device)

    # -- tuned lenses --------------------------------------------------------------------------

    def work(self, source: Source) -> float:
        """What a recording takes, in clips."""
        if not isinstance(source, Translator):
            return len(source.prompts)
        return _TRAINING * source.fit.n_clips

    def portions(self, sources: Sequence[Translator]) -> list[list[Translator]]:
        """Translators that can be trained on the same clips with the memory there is."""
        groups: dict[Fit, list[Translator]] = {}
        for source in sources:
            groups.setdefault(source.fit, []).append(source)
        return [
            group[start : start + n]
            for fit, group in groups.items()
            for n in [self._streams_that_fit(fit)]
            for start in range(0, len(group), n)
        ]

    def _streams_that_fit(self, fit: Fit) -> int:
        n_steps = min(fit.steps or self._passes.n_steps, self._passes.n_steps)
        one = (fit.n_clips + fit.n_held_out) * n_steps * 2 * self._passes.model.d_model * 4
        free = free_memory()
        return 1_000 if free is None else max(1, int(_SHARE * free / one) - 1)

    @property
    def watching(self) -> bool:
        """Whether there are streams to train on."""
        return self._watched is not None

    def watch(self, sources: Sequence[Translator], advance: Advance, most: int = MIN_PASS) -> int:
        """Generate the clips of a fit, keeping the streams that these translators are trained on in memory.

        Returns how many clips there were.
        """
        self._watched = None
        fit, model = sources[0].fit, self._passes.model
        end = Hook(model.n_layers - 1, "resid_post")
        hooks = sorted({end, *model.select_hooks([source.hook for source in sources])})
        train_on, held_out = clips_of(fit)
        packs = [pack for rows in (train_on, held_out) for pack in self._passes.packs(rows, most)]
        recorder = StreamRecorder(hooks, fit.n_clips + fit.n_held_out, self._passes.n_steps, fit.steps, fit.seed)
        for pack in packs:
            recorder.begin_pass(len(pack))
            self._must_be_finite(self._passes.observe(pack, hooks, recorder.see, advance))
        # Passes go by the length of prompts; those held out are measured in their own order.
        seen = [row for pack in packs for row in pack][fit.n_clips :]
        self._watched = _Watched(recorder, end, fit.n_clips, torch.tensor([seen.index(row) for row in held_out]))
        return len(train_on) + len(held_out)

    def fit(self, source: Translator, advance: Advance) -> None:
        """Train one translator on what was watched, measure it and the plain lens on held-out clips, and store it."""
        assert self._watched is not None
        watched, model = self._watched, self._passes.model
        hook, n, guidance = Hook.parse(source.hook), watched.n_clips, self._passes.settings.sampling.guidance
        streams, final = watched.recorder.streams(hook), watched.recorder.streams(watched.end)
        n_frames = model.n_frames(self._passes.settings.duration)
        sampled: Bool[Tensor, "codebook step"] = model.sampled_positions(n_frames)
        valid = sampled.T[watched.recorder.steps]
        unembed = model.unembedding(torch.float32)
        here, there, mask = (x[:n].flatten(0, 1) for x in (streams, final, valid))
        total = self.work(source)
        found = train(
            here, there, mask, unembed, source.fit.epochs, source.fit.seed, lambda part: advance(part * total)
        )
        tensors: dict[str, Float32[np.ndarray, ...]] = {"weight": found.weight.numpy(), "bias": found.bias.numpy()}
        clips = streams[n:][watched.order], final[n:][watched.order], valid[n:][watched.order]
        for name, lens in (("decoder", None), ("tuned", found.to(unembed.device))):
            held_out = measure(*clips, unembed, guidance, lens)
            tensors |= {f"{name}_{measured}": values for measured, values in held_out.items()}
        if tensors["tuned_kl"].mean() > tensors["decoder_kl"].mean():
            log.warning("the tuned lens at %s is worse than none on held-out clips: raise lens.clips", hook.name)
        self._store.put_record(self.key(source), tensors)

    def forget(self) -> None:
        """Let go of the streams that were watched."""
        self._watched = None


def _points(source: Source) -> tuple[str, ...]:
    """Part of a recording's key: what is recorded."""
    if isinstance(source, Similarity):
        return MEASURES
    return HEAD_POINTS if isinstance(source, Mean) and source.heads else POINTS


@dataclass(frozen=True)
class _Watched:
    """The streams of a fit's clips: ``n_clips`` to train on, then those held out, whose places are in ``order``."""

    recorder: StreamRecorder
    end: Hook
    n_clips: int
    order: Int[Tensor, " clip"]
