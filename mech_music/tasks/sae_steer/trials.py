"""What steering asks for: candidates on the prompts that one is chosen by, then everything on others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mech_music.edits.row import Edit, Mean, Row, Term
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.named import ConceptDirection
from mech_music.tasks.sae_steer.settings import SaeSteerSettings as Settings

_MEAN_PROMPTS = 50
_CHOICE_STRENGTH = 1.0  # or the nearest of those asked for


@dataclass(frozen=True)
class Trial:
    """One clip: what it is edited with (``role``: candidate, random, means or unedited), and for what.

    ``choice``: whether it is one that a feature is chosen by. ``rank``: of a candidate by AUROC, else −1.
    """

    role: str
    layer: int
    strength: float
    original: Concept
    desired: Concept
    index: int
    prompt: Prompt
    rank: int
    choice: bool
    row: Row
    baseline: Row


def choice_strength(run: Settings) -> float:
    """The strength at which features are compared: the one asked for that is nearest to 1."""
    return min(run.strengths, key=lambda strength: abs(strength - _CHOICE_STRENGTH))


def trials(run: Settings) -> Iterator[Trial]:
    """Pair by pair, layer by layer."""
    for original, desired in run.pairs:
        prompts = run.prompts_with(original)
        chosen_by, tested = prompts[: run.choice_prompts], prompts[-run.prompts :]
        for layer, hook in run.hooks.items():
            for choice, some in ((True, chosen_by), (False, tested)):
                for index, prompt in enumerate(some):
                    for role, strength, rank, edits in _edits(run, hook, original, desired, index, choice):
                        plain = Row(prompt.text, run.seed)
                        row = Row(prompt.text, run.seed, edits)
                        yield Trial(role, layer, strength, original, desired, index, prompt, rank, choice, row, plain)


def _edits(
    run: Settings, hook: str, original: Concept, desired: Concept, index: int, choice: bool
) -> Iterator[tuple[str, float, int, tuple[Edit, ...]]]:
    firing, own, others = run.firing(hook), run.known(desired), run.others(desired)
    ranks = [ConceptDirection(firing, own, others, rank) for rank in range(run.candidates)]
    for strength in [choice_strength(run)] if choice else run.strengths:
        for rank, source in enumerate(ranks):
            yield "candidate", strength, rank, (_added(run, hook, Term(strength, source)),)
        if choice:
            continue
        random = ConceptDirection(firing, own, others, 0, draw=index)
        yield "random", strength, -1, (_added(run, hook, Term(strength, random)),)
        means = (Term(strength, _mean(run, desired)), Term(-strength, _mean(run, original)))
        yield "means", strength, -1, (_added(run, hook, *means),)
    if not choice:
        yield "unedited", 0.0, -1, ()


def _added(run: Settings, hook: str, *shift: Term) -> Edit:
    return Edit(hook, 1.0, shift, half=run.half)


def _mean(run: Settings, concept: Concept) -> Mean:
    known = run.known(concept)
    return Mean(type(known).of(known.texts[:_MEAN_PROMPTS], concept.name), run.sae.seed)
