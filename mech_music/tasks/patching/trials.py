"""What patching asks for: patched clips, the run that each is made of, and the clip that activations come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mech_music.edits.patch import Patch
from mech_music.edits.row import Row
from mech_music.models.sampling import ANOTHER_SEED
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tasks.patching.patches import Window, patches
from mech_music.tasks.patching.settings import Direction
from mech_music.tasks.patching.settings import PatchingSettings as Settings
from mech_music.tasks.patching.sites import Site, everywhere


@dataclass(frozen=True)
class Run:
    """A clip that is patched (``base``) and its matched clip (``source``).

    ``own``, ``other``: the concepts that their prompts name. ``unrelated``: a clip of another prompt with the own one.
    """

    direction: Direction
    original: Concept
    desired: Concept
    own: Concept
    other: Concept
    index: int
    repeat: int
    prompt: Prompt
    base: Row
    source: Row
    unrelated: Row


@dataclass(frozen=True)
class Trial:
    """One line of the table to be."""

    role: str
    run: Run
    site: Site | None
    frames: str
    row: Row


def runs(settings: Settings) -> Iterator[Run]:
    """Every pair, direction, prompt and seed."""
    for original, desired in settings.pairs:
        matched = settings.matched(original, desired)
        for direction in settings.directions:
            clean = direction is Direction.noise
            own, other = (original, desired) if clean else (desired, original)
            prompts = [(a, b) if clean else (b, a) for a, b in matched]
            for index, (base, source) in enumerate(prompts):
                unrelated = prompts[(index + 1) % len(prompts)][0]
                for repeat in range(settings.seeds):
                    seed = settings.seed + repeat
                    rows = (Row(base.text, seed), Row(source.text, seed), Row(unrelated.text, seed + ANOTHER_SEED))
                    yield Run(direction, original, desired, own, other, index, repeat, base, *rows)


def trials(settings: Settings) -> Iterator[Trial]:
    """Run by run, so that passes need the activations of few clips; the control without a site first."""
    sites, slices = settings.sites, settings.slices
    for run in runs(settings):
        if "self" in settings.controls:
            hooks = everywhere(settings.model, heads=settings.head is not None)
            itself = tuple(Patch(hook.name, run.base) for hook in hooks)
            yield Trial("self", run, None, "", replace(run.base, edits=itself))
        for site in sites:
            for label, steps in slices:
                for role, source in _sources(run, settings.controls):
                    edits = patches(site, run.base, source, Window(steps, settings.half))
                    yield Trial(role, run, site, label, replace(run.base, edits=edits))


def _sources(run: Run, controls: Sequence[str]) -> Iterator[tuple[str, Row]]:
    yield "patch", run.source
    if "unrelated" in controls:
        yield "unrelated", run.unrelated
