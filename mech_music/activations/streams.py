"""Activations as an iterator of arrays, in constant memory however many there are::

for chunk in stream(model, "blocks.3.hook_resid_post", rows):
    chunk.values["blocks.3.hook_resid_post"]  # [row, step, half, width]
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.activations.observe import Edits, observe, padding, plain
from mech_music.activations.sources import Generated, Source
from mech_music.base.errors import UserError
from mech_music.edits.row import Half, Row
from mech_music.models.hooks import Hook, Layout
from mech_music.models.protocol import DURATION, MIN_PASS
from mech_music.models.sampling import Sampling

if TYPE_CHECKING:
    from mech_music.models.protocol import Generation, Generator, NamesFilter

log = logging.getLogger(__name__)
BUDGET = 2**30
"""Bytes that a pass and what is handed out of it may take, unless the smallest takes more."""
_MOST = 128  # clips of a pass: more are hardly faster
_HALVES = {Half.cond: slice(0, 1), Half.uncond: slice(1, 2), Half.both: slice(0, 2)}


@dataclass(frozen=True)
class Chunk:
    """Some clips, and what hooks have at all of their steps, in the guidance halves that were asked for."""

    rows: Sequence[Row]
    values: Mapping[str, Float32[Tensor, "row step half width"]]


def stream(
    generator: Generator,
    hooks: NamesFilter,
    source: Source | Sequence[Row],
    half: Half = Half.both,
    sampling: Sampling | None = None,
    duration: float = DURATION,
    edits: Edits = plain,
    budget: int = BUDGET,
) -> Stream:
    """Activations of rows (generated with their ``edits``), given tokens or audio, or of no prompt: `sources`.

    Args:
        edits: compiles the edits of a pass; rows' edits are ignored without it.
        budget: bytes; with the model it decides how many clips are in a pass.

    Raises:
        UserError: for hooks that are not there or do not have one vector a step, and a half that the model has not.
    """
    chosen = generator.select_hooks(hooks)
    if odd := [hook.name for hook in chosen if hook.layout in (Layout.text, Layout.pattern)]:
        raise UserError(
            f"hook '{odd[0]}' has no single vector at each step: stream the residual stream, branches, q or z"
        )
    if half is Half.uncond and generator.halves == 1:
        raise UserError("half=uncond, but this model has no guidance, and so no unconditional half: use half=both")
    named = source if isinstance(source, Source) else Generated(source)
    return Stream(generator, chosen, named, half, sampling or Sampling(), duration, edits, budget)


class Stream:
    """Iterate over it for its chunks, each time anew. Clips with a non-finite value are left out, with a warning."""

    def __init__(
        self,
        generator: Generator,
        hooks: Sequence[Hook],
        source: Source,
        half: Half,
        sampling: Sampling,
        duration: float,
        edits: Edits,
        budget: int,
    ) -> None:
        self._generator, self._hooks, self._source, self._half = generator, hooks, source, half
        self._edits, self._budget = edits, budget
        self._sampling = sampling if source.guidance is None else replace(sampling, guidance=source.guidance)
        n_frames = source.n_frames(generator) if len(source) else None
        # Half a frame more, so that rounding takes none away.
        self._duration = duration if n_frames is None else (n_frames + 0.5) / generator.frame_rate

    @property
    def about(self) -> dict[str, Any]:
        """Everything that decides the content but the model, as JSON."""
        return {
            "source": self._source.about(),
            "hooks": [hook.name for hook in self._hooks],
            "half": self._half.value,
            "sampling": asdict(self._sampling),
            "duration": self._duration,
            "clips_of_a_pass": self._most,
        }

    def __len__(self) -> int:
        """Chunks."""
        return len(self._passes)

    def __iter__(self) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(len(self)))

    @cached_property
    def _most(self) -> int:
        """Clips of a pass: neither the model's memory of them nor what is handed out exceeds the budget."""
        model, n_steps = self._generator, self._generator.n_steps(self._duration)
        one = 4 * n_steps * self._n_halves * model.d_model * len(self._hooks)
        fitting = max(MIN_PASS, self._budget // model.row_bytes(self._duration))
        return max(1, min(self._budget // one, fitting, _MOST))

    def shape(self, number: int) -> tuple[int, int, int, int]:
        """Of what a hook of the model's width has in one of the chunks, where no clip is left out."""
        model, n_steps = self._generator, self._generator.n_steps(self._duration)
        return len(self._passes[number]), n_steps, self._n_halves, model.d_model

    @property
    def _n_halves(self) -> int:
        return len(range(self._generator.halves)[_HALVES[self._half]])

    @cached_property
    def _passes(self) -> list[list[int]]:
        """The places of each pass's clips in the source: prompts of one group, in their order."""
        groups: dict[Hashable, list[int]] = {}
        known: dict[str, Hashable] = {}
        for place in range(len(self._source)):
            prompt = self._source.prompt(place)
            if prompt not in known:
                known[prompt] = self._generator.group_of(prompt)
            groups.setdefault(known[prompt], []).append(place)
        most = self._most
        return [group[at : at + most] for group in groups.values() for at in range(0, len(group), most)]

    def chunk(self, number: int) -> Chunk:
        """One of the chunks; it does not depend on the others."""
        rows, forced = self._source.part(self._passes[number], self._generator)
        clips, how = rows, self._how()
        if forced is not None:
            clips = [Row(row.prompt, row.seed) for row in rows]
            how["forced"] = torch.cat([forced, forced[-1:].expand(padding(len(rows)), -1, -1)])
        n_steps = self._generator.n_steps(self._duration)
        recorder = _Recorder(len(rows), n_steps, _HALVES[self._half])
        tokens = observe(self._generator, clips, self._hooks, recorder.see, self._edits, **how)
        return _whole(Chunk(rows, recorder.values), tokens)

    def _how(self) -> Generation:
        return {"sampling": self._sampling, "duration": self._duration}


class _Recorder:
    """Puts together what hooks have, step by step."""

    def __init__(self, n_rows: int, n_steps: int, halves: slice) -> None:
        self._size, self._halves = (n_rows, n_steps), halves
        self.values: dict[str, Float32[Tensor, "row step half width"]] = {}

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 width"]) -> None:
        """The next step of a hook."""
        chosen = value[:, self._halves, 0]
        if hook.name not in self.values:
            self.values[hook.name] = torch.empty(*self._size, *chosen.shape[1:])
        self.values[hook.name][:, step] = chosen


def _whole(chunk: Chunk, tokens: Tensor) -> Chunk:
    """Without the clips that failed."""
    good = (tokens >= 0).flatten(1).all(dim=1).cpu()
    if good.all():
        return chunk
    log.warning("%d of %d clips are left out: they have a non-finite value", int((~good).sum()), len(good))
    rows = [row for row, kept in zip(chunk.rows, good.tolist(), strict=True) if kept]
    return Chunk(rows, {name: values[good] for name, values in chunk.values.items()})
