"""What erasing asks for: every prompt with more and more features put to 0, and with as many random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mech_music.edits.row import Row
from mech_music.edits.splice import Change, How, Splice
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.concept_prompts import firing_on, held_out_with, known, others
from mech_music.saes.named import ConceptFeatures
from mech_music.tasks.sae_erase.settings import SaeEraseSettings as Settings

_Edits = Callable[[int], tuple[Splice, ...]]
"""The edits of a clip, given the draw of its random features."""


@dataclass(frozen=True)
class Trial:
    """One clip. ``features``: how many are put to 0. ``repeat``: which draw of random ones."""

    role: str
    layer: int
    concept: Concept
    features: int
    index: int
    repeat: int
    prompt: Prompt
    row: Row
    baseline: Row


def trials(run: Settings) -> Iterator[Trial]:
    """Concept by concept, layer by layer."""
    for concept in run.concepts:
        tested = held_out_with(run.sae, run.study, concept, run.prompts)
        for layer, hook in run.hooks.items():
            for role, n, repeat, edits in _edits(run, hook, concept):
                for index, prompt in enumerate(tested):
                    plain = Row(prompt.text, run.seed)
                    # Of random features others for each prompt, so that no single set decides the control.
                    own = Row(prompt.text, run.seed, edits(run.draws * index + repeat))
                    yield Trial(role, layer, concept, n, index, repeat, prompt, own, plain)


def _edits(run: Settings, hook: str, concept: Concept) -> Iterator[tuple[str, int, int, _Edits]]:
    firing, own = firing_on(run.sae, hook, run.study), known(run.sae, run.study, concept)
    rest = others(run.sae, run.study, concept)

    def zeroed(n: int, drawn: bool) -> _Edits:
        def edits(draw: int) -> tuple[Splice, ...]:
            features = ConceptFeatures(firing, own, rest, n, draw if drawn else None)
            return (Splice(hook, firing.sae, (Change(features, How.zero),), half=run.half),)

        return edits

    yield "unedited", 0, 0, lambda _: ()
    for n in run.features:
        yield "erased", n, 0, zeroed(n, False)
        for repeat in range(run.draws):
            yield "random", n, repeat, zeroed(n, True)
