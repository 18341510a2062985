"""The axes of activation patching."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from mech_music.base.errors import UserError, unknown
from mech_music.config.axes import n_steps, parse_frames
from mech_music.config.schema import IF_GIVEN, RunConfig
from mech_music.edits.row import Half
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tasks.patching.sites import Site, parse_heads_of, parse_paths, parse_sites

CONTROLS = ("unrelated", "self")


class Direction(StrEnum):
    """``denoise``: the corrupted run with clean activations restored; ``noise``: the clean run with corrupted ones."""

    denoise = "denoise"
    noise = "noise"
    both = "both"


@dataclass
class PatchingSettings(RunConfig):
    """Where activations are patched (``component``, ``layer``, ``head``, ``frames`` in ``windows``, ``half``), or along
    which ``path``; in which ``direction``, between prompts of which ``pair``, with how many ``seeds`` each."""

    component: str = "all"
    layer: str = "all"
    path: str | None = None
    direction: Direction = Direction.denoise
    pair: str = "guitar-piano"
    half: Half = Half.both
    frames: str = "all"
    windows: int = 1
    seeds: int = 1
    controls: list[str] = field(default_factory=lambda: list(CONTROLS))
    head: str | None = field(default=None, metadata=IF_GIVEN)

    @property
    def pairs(self) -> list[tuple[Concept, Concept]]:
        """The clean prompts' concept, and what stands in its place in the corrupted ones."""
        return self.study.resolve_pairs(self.pair)

    @property
    def sites(self) -> list[Site]:
        """Every place that is patched, or every path."""
        if self.path is not None:
            return parse_paths(self.path, self.model)
        if self.head is not None:
            return parse_heads_of(self.component, self.layer, self.head, self.model)
        return parse_sites(self.component, self.layer, self.model)

    @property
    def directions(self) -> list[Direction]:
        return [Direction.denoise, Direction.noise] if self.direction is Direction.both else [self.direction]

    @property
    def slices(self) -> list[tuple[str, tuple[int, int] | None]]:
        """The windows of steps, each with its label. UserError for more windows than steps."""
        frames = parse_frames(self.frames, n_steps(self), self.model.frame_rate)
        if self.windows == 1:
            return [(self.frames, frames)]
        start, stop = frames or (0, n_steps(self))
        if not 1 <= self.windows <= stop - start:
            raise UserError(f"windows={self.windows}: expected 1 to {stop - start}, the steps that there are")
        ends = [start + (stop - start) * n // self.windows for n in range(self.windows + 1)]
        return [(f"{a}:{b}", (a, b)) for a, b in pairwise(ends)]

    def matched(self, original: Concept, desired: Concept) -> list[tuple[Prompt, Prompt]]:
        """Clean and corrupted prompts, which differ in one word. UserError if there are not so many."""
        clean = self.study.concept_prompts(original, self.prompts, in_balance=True)
        return [(prompt, self.study.counterfactual(prompt, original, desired)) for prompt in clean]

    def check(self) -> None:
        _ = self.sites, self.slices
        if self.path is not None and (self.component, self.layer, self.head) != ("all", "all", None):
            raise UserError(
                f"path={self.path} names its components and layers: leave component, layer and head out beside it"
            )
        if self.seeds < 1:
            raise UserError(f"seeds={self.seeds}: expected 1 or more")
        for name in self.controls:
            if name not in CONTROLS:
                raise UserError(unknown("control of task=patching", name, CONTROLS))
        for pair in self.pairs:
            self.matched(*pair)

    def told_apart(self) -> list[str]:
        told = ["patching", self.path or self.component, self.pair, self.direction.value]
        return told if self.head is None else [*told, f"head {self.head}"]
