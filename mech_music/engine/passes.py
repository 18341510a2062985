"""What a pass does with a model: generate rows, with their edits and exits, and hand them to the scorer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.activations.observe import Consumer, observe, padded
from mech_music.activations.recipes import recorded_for
from mech_music.activations.recording import Recording
from mech_music.activations.rows import RowRecorder
from mech_music.base.errors import UserError
from mech_music.base.workers import Advance
from mech_music.config.schema import DecodeName, EngineConfig
from mech_music.edits.compile import Compiled, compile_edits, visitor, with_sources
from mech_music.edits.dense import dense
from mech_music.edits.prefix import given_tokens
from mech_music.edits.protocol import Recorded
from mech_music.edits.row import Exit, Fit, LensFile, Reading, Row, Translator
from mech_music.engine.scorer import ClipScorer
from mech_music.lenses.files import read_lens
from mech_music.lenses.readout import Reader, Translation, Visit, alongside, leave
from mech_music.listeners.protocol import Listener
from mech_music.models.handle import LazyModel
from mech_music.models.hooks import Hook
from mech_music.models.protocol import MIN_PASS, Generation, Static
from mech_music.models.sampling import Sampling
from mech_music.saes import directions  # noqa: F401 (its sources are registered)
from mech_music.saes.named import Dictionary
from mech_music.saes.recorded import open_sae
from mech_music.saes.sae import Sae
from mech_music.store import Store

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_VERSION = 4  # raise it when a change of this code changes what a row gives
_KEPT_NOISE = 2**28  # bytes of noise that the exits of one pass share; more is drawn again for each
_Kind = tuple[str, str]


@dataclass(frozen=True)
class Settings:
    """What decides a clip beside the model and its row."""

    sampling: Sampling
    duration: float = 4.0


class PassRunner:
    """One model at work for one store. Everything it does is written to the store; nothing is asked of it twice.

    Args:
        how: what is stored of each clip beside its readings, whether what SAEs read of clips is stored too, and how
            clips are decoded (static: where model and edits allow it, `mech_music.models.protocol.Static`).
    """

    def __init__(
        self,
        source: LazyModel,
        store: Store,
        settings: Settings,
        how: EngineConfig | None = None,
    ) -> None:
        how = how or EngineConfig()
        self.static, self.keep_activations = how.decode is DecodeName.static, how.keep_activations
        self.source, self.store, self.settings = source, store, settings
        deciding = [_VERSION, source.model_id, asdict(settings.sampling), settings.duration]
        self.generation = json.dumps(deciding, sort_keys=True)
        self._context = hashlib.sha256(self.generation.encode()).hexdigest()
        self.about = {
            "model": source.name,
            "source": source.source,
            "model_id": source.model_id,
            "settings": f"{settings.duration:g} s, {_words(settings.sampling)}",
        }
        self.scorer = ClipScorer(
            lambda: source.model, store, settings.duration, self.about, how.keep_tokens, how.keep_audio
        )
        self.recording = Recording(self)
        self._groups: dict[str, str] = {}
        self._saes: dict[tuple[Dictionary, str], Sae] = {}
        self._files: dict[LensFile, Mapping[str, Translation]] = {}

    @property
    def model(self) -> Generator:
        return self.source.model

    @cached_property
    def n_steps(self) -> int:
        return self.model.n_steps(self.settings.duration)

    def key(self, row: Row) -> str:
        """The clip's content address in the store."""
        return row.key(self._context)

    def keep(
        self, rows: Sequence[Row], tokens: Int[Tensor, "row codebook frame"], listeners: Sequence[Listener] = ()
    ) -> None:
        """Store clips, and what listeners read of them."""
        self.scorer.store({self.key(row): row for row in rows}, tokens, listeners)

    # -- packs ---------------------------------------------------------------------------------

    def packs(self, rows: Sequence[Row], most: int, n_workers: int = 1) -> list[tuple[Row, ...]]:
        """Passes over at most ``most`` clips whose prompts have the same length (padding would be seen by
        cross-attention); of equal size, as many for each worker.

        What lenses read of one clip is one pass, and with it the clip itself where they read along it.
        """
        read_along = {replace(row, exit=None) for row in rows if row.exit and row.exit.reading is Reading.forced}

        def kind(row: Row) -> _Kind:
            along = row in read_along or bool(row.exit and row.exit.reading is Reading.forced)
            return ("along" if along else "exit" if row.exit else "", self._group(row))

        packs = []
        for _, same in groupby(sorted(rows, key=kind), key=kind):
            clips: dict[Row, list[Row]] = {}
            for row in same:
                clips.setdefault(replace(row, exit=None), []).append(row)
            groups = list(clips.values())
            n_packs = -(-len(groups) // most)
            n_packs = min(-(-n_packs // n_workers) * n_workers, -(-len(groups) // MIN_PASS))
            size = -(-len(groups) // n_packs)
            packs += [
                tuple(row for group in groups[start : start + size] for row in group)
                for start in range(0, len(groups), size)
            ]
        return packs

    def _group(self, row: Row) -> str:
        if row.prompt not in self._groups:
            self._groups[row.prompt] = str(self.model.group_of(row.prompt))
        return self._groups[row.prompt]

    # -- passes --------------------------------------------------------------------------------

    def perform(self, rows: Sequence[Row], listeners: Sequence[Listener], advance: Advance) -> int:
        """One pass: rows of one kind, each with its own edits, to clips and readings in the store.

        Rows that another process has stored meanwhile, or is making, are left out. Returns how many were made.
        """
        if all(self.key(row) in self.store.clips for row in rows):  # seen at an earlier look: no need to claim any
            advance(len(rows))
            return 0
        lease = self.store.leases.claim(self.key(row) for row in rows)
        try:
            self.store.refresh()
            missing = [row for row in rows if self.key(row) in lease.keys and self.key(row) not in self.store.clips]
            advance(len(rows) - len(missing))
            for some, tokens in self._made(missing, advance):
                self.keep(some, tokens, listeners)
        except BaseException:
            lease.release()
            raise
        self.scorer.afterwards(lease.release)
        return len(missing)

    def listen(self, rows: Sequence[Row], listener: Listener, advance: Advance) -> int:
        """What a listener reads of stored clips; how many it was. No pass is made where their tokens were kept."""
        heard, names = self.store.readings(listener.id), {f"{self.key(row)} {listener.id}": row for row in rows}
        lease = self.store.leases.claim(names)
        try:
            heard.refresh()
            mine = [row for name, row in names.items() if name in lease.keys and self.key(row) not in heard]
            if mine:
                self.scorer.listen({self.key(row): row for row in mine}, self.stored_tokens(mine), [listener])
        except BaseException:
            lease.release()
            raise
        self.scorer.afterwards(lease.release)
        advance(len(rows))
        return len(mine)

    def stored_tokens(self, rows: Sequence[Row]) -> Int[Tensor, "row codebook frame"]:
        """The tokens of stored clips; those that were not kept are generated again."""
        clips = self.store.clips.get(self.key(row) for row in rows)
        stored = [clips[key]["tokens"] if (key := self.key(row)) in clips else np.empty(0) for row in rows]
        if all(tokens.size for tokens in stored):
            return torch.from_numpy(np.stack(stored)).long().to(self.model.device)
        if getattr(self.source, "elsewhere", False):
            raise UserError(
                "engine.keep_tokens=false: workers made these clips on another device, and their tokens are needed "
                "here: set it to true"
            )
        return self.tokens(rows)

    def tokens(self, rows: Sequence[Row]) -> Int[Tensor, "row codebook frame"]:
        """The rows' tokens, made again (for those whose tokens were not kept)."""
        parts: dict[Row, Tensor] = {}
        for pack in self.packs(rows, 32):
            for some, tokens in self._made(pack, lambda _: None):
                parts |= zip(some, tokens, strict=True)
        return torch.stack([parts[row] for row in rows])

    def _made(self, rows: Sequence[Row], advance: Advance) -> Iterator[tuple[Sequence[Row], Tensor]]:
        """The rows of a pass with their tokens, part by part."""
        leaving = [row for row in rows if row.exit]
        if not rows:
            return
        if not leaving:
            yield rows, self._plain(rows, advance)
        elif any(row.exit and row.exit.reading is Reading.forced for row in leaving):
            yield from self._read_along(rows, advance)
        else:
            yield from self._generate_exits(leaving, advance)

    def _plain(self, rows: Sequence[Row], advance: Advance) -> Int[Tensor, "row codebook frame"]:
        """Rows without exits, by the decoder that is asked for where it serves their edits, else traced."""
        maps = self._compiled(rows)
        if self.static and isinstance(self.model, Static) and self.model.decodes_static:
            tables = dense(maps, self.model.halves * len(padded(rows)), self.n_steps)
            if tables is not None:
                whole, how = self._generation(rows, advance)
                return self.model.generate_static([row.prompt for row in whole], tables, **how)[: len(rows)]
        return self.generate(rows, tuple(maps), visitor(maps), advance)

    def _compiled(self, rows: Sequence[Row]) -> Compiled:
        self.model.select_hooks([edit.hook for row in rows for edit in row.edits])
        resolve = self.recording.resolve
        return compile_edits(padded(rows), self.model, self.n_steps, resolve, self._activations, self.sae)

    def edits(self, rows: Sequence[Row]) -> tuple[tuple[Hook, ...], Visit]:
        """The compiled edits of a pass: the hooks where they act, and what they do there."""
        maps = self._compiled(rows)
        return tuple(maps), visitor(maps)

    def sae(self, named: Dictionary, hook: str) -> Sae:
        """The SAE that an edit at a hook names, on the model's device; kept. UserError for one of another place."""
        if (named, hook) not in self._saes:
            self._saes[named, hook] = open_sae(named, hook, self).to(self.model.device)
        return self._saes[named, hook]

    def _activations(self, rows: Sequence[Row], hooks: Sequence[Hook]) -> Recorded:
        """What rows, with their own edits, have at hooks: for patches."""
        found: dict[tuple[Row, Hook], list[Tensor]] = {}
        for pack in self.packs(rows, 32):
            recorder = RowRecorder(pack, hooks)
            self.observe(pack, hooks, recorder.see, lambda _: None)
            found |= recorder.values
        return found

    def observe(
        self,
        rows: Sequence[Row],
        hooks: Sequence[Hook],
        see: Consumer,
        advance: Advance,
        forced: Int[Tensor, "#row codebook frame"] | None = None,
    ) -> Int[Tensor, "row codebook frame"]:
        """Generate rows that may share a pass, with their edits, showing what hooks have."""
        how: Generation = {
            "sampling": self.settings.sampling,
            "duration": self.settings.duration,
            "forced": forced,
            "on_step": lambda _: advance(len(rows) / self.n_steps),
        }
        return observe(self.model, rows, hooks, see, self.edits, **how)

    def generate(
        self,
        rows: Sequence[Row],
        hooks: Sequence[Hook],
        visit: Visit,
        advance: Advance,
        **more: Unpack[Generation],
    ) -> Int[Tensor, "row codebook frame"]:
        """One generation of rows of one length, visited at hooks (which see the padding rows as well)."""
        whole, own = self._generation(rows, advance)
        return self.model.visit([row.prompt for row in whole], hooks, visit, **(own | more))[: len(rows)]

    def _generation(self, rows: Sequence[Row], advance: Advance) -> tuple[Sequence[Row], Generation]:
        """The rows of a pass with those that pad it, and how they are generated."""
        whole = padded(rows)
        n_frames = self.model.n_frames(self.settings.duration)
        return whole, {
            "seeds": [row.seed for row in whole],
            "duration": self.settings.duration,
            "sampling": self.settings.sampling,
            "prefix": given_tokens(whole, self.model, n_frames),
            "on_step": lambda _: advance(len(rows) / self.n_steps),
        }

    # -- lenses --------------------------------------------------------------------------------

    def _generate_exits(self, rows: Sequence[Row], advance: Advance) -> Iterator[tuple[Sequence[Row], Tensor]]:
        """Free-running: for each exit a shorter generation, all with the same noise."""
        at = {clip: place for place, clip in enumerate(dict.fromkeys(replace(row, exit=None) for row in rows))}
        clips = list(at)
        whole, (edited, visit) = padded(clips), self.edits(clips)
        keep = len(whole) * self.n_steps * self.model.n_codebooks * self.model.card * 4 <= _KEPT_NOISE
        noise = self.model.noise([row.prompt for row in whole], [row.seed for row in whole], keep)
        for place in dict.fromkeys(row.exit for row in rows if row.exit):
            (hook,), some = self.model.select_hooks(place.hook), [row for row in rows if row.exit == place]
            hooks, leaving = leave(hook, self._translation(place), edited, visit)
            noise.rewind()
            share = len(some) / len(clips)
            tokens = self.generate(
                clips, hooks, leaving, lambda n, share=share: advance(n * share), exit_layer=hook.layer, noise=noise
            )
            yield some, tokens[[at[replace(row, exit=None)] for row in some]]

    def _read_along(self, rows: Sequence[Row], advance: Advance) -> Iterator[tuple[Sequence[Row], Tensor]]:
        """Teacher-forced: all exits are read in one generation of the full model, whose own clips come with it."""
        at = {clip: place for place, clip in enumerate(dict.fromkeys(replace(row, exit=None) for row in rows))}
        clips = list(at)
        whole, (edited, visit) = padded(clips), self.edits(clips)
        noise = self.model.noise([row.prompt for row in whole], [row.seed for row in whole])
        exits = list(dict.fromkeys(row.exit for row in rows if row.exit))
        wanted = [(self.model.select_hooks(place.hook)[0], self._translation(place)) for place in exits]
        n_frames = self.model.n_frames(self.settings.duration)
        reader = Reader(self.model, wanted, noise, self.settings.sampling, n_frames)
        share = len(rows) / len(clips) / self.n_steps

        def end_step(step: int) -> None:
            reader.end_step(step)
            advance(len(clips) * share)

        tokens = self.generate(
            clips, *alongside({visit: edited, reader.see: reader.hooks}), advance, noise=noise, on_step=end_step
        )
        read = reader.tokens()
        for place, found in [(None, tokens), *zip(exits, read, strict=True)]:
            some = [row for row in rows if row.exit == place]
            if some:
                yield some, found[[at[replace(row, exit=None)] for row in some]]

    def _translation(self, place: Exit) -> Translation | None:
        if isinstance(place.lens, Fit):
            return self.recording.translation(Translator(place.hook, place.lens)).to(self.model.device)
        if place.lens is None:
            return None
        found = self.lens_file(place.lens)
        if place.hook not in found:
            raise UserError(
                f"the lens in '{place.lens.path}' was not trained for {place.hook}: it has {', '.join(found)}"
            )
        return found[place.hook].to(self.model.device)

    def lens_file(self, lens: LensFile) -> Mapping[str, Translation]:
        """The lens in a file. UserError if it was trained on another model."""
        if lens not in self._files:
            self._files[lens] = read_lens(lens, self.source.weights)
        return self._files[lens]


def n_clips(pack: Sequence[Row]) -> int:
    """The rows of a pass's batch: several exits of one clip take one."""
    return len({replace(row, exit=None) for row in pack})


def sources_of(rows: Sequence[Row]) -> list[Any]:
    """What has to be recorded before rows can be made."""
    edits = (edit for row in with_sources(rows) for edit in row.edits)
    named = [(*(term.source for term in getattr(edit, "shift", ())), *getattr(edit, "recorded", ())) for edit in edits]
    means = [needed for sources in named for source in sources for needed in recorded_for(source)]
    maps = [Translator(row.exit.hook, row.exit.lens) for row in rows if row.exit and isinstance(row.exit.lens, Fit)]
    return list(dict.fromkeys([*means, *maps]))


def _words(sampling: Sampling) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in asdict(sampling).items())
