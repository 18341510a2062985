"""The prompts of a concept: those whose clips features are looked for in, and those that nothing was trained on."""

from __future__ import annotations

from mech_music.base.errors import UserError
from mech_music.edits.row import Prompts
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.named import ConceptDirection, Firing
from mech_music.saes.settings import SaeConfig, named_by, trained_on


def firing_on(sae: SaeConfig, hook: str, study: PromptSet) -> Firing:
    """What features do on the clips that they are looked for in: those that the SAE is trained on.

    UserError for a corpus: concepts are told by prompts.
    """
    if sae.corpus is not None:
        raise UserError(
            f"sae.corpus={sae.corpus}: concepts are found by the words of prompts, which audio has none of; "
            "give sae.path=<folder> of the SAE that was trained on it (task=sae leaves it in saes/)"
        )
    return Firing(named_by(sae, hook, study), hook, trained_on(sae, study))


def prompts_with(study: PromptSet, concept: Concept) -> list[Prompt]:
    """Every prompt that has the concept, in balanced order; the last are those that no SAE was trained on."""
    return [one for one in study.balanced_prompts if one.words[concept.category] == concept.text]


def held_out_with(sae: SaeConfig, study: PromptSet, concept: Concept, n: int) -> list[Prompt]:
    """``n`` prompts that have the concept and that neither the SAE nor its features were chosen by. UserError if there
    are fewer."""
    there = set(trained_on(sae, study).prompts.texts)
    found = [one for one in prompts_with(study, concept) if one.text not in there]
    if len(found) < n:
        raise UserError(
            f"prompts={n}: {len(found)} prompts about '{concept.name}' are held out from what features are chosen by; "
            f"use prompts={len(found)}, or more sae.held_out"
        )
    return found[-n:]


def known(sae: SaeConfig, study: PromptSet, concept: Concept) -> Prompts:
    """Those of them that features are looked for in."""
    there = set(trained_on(sae, study).prompts.texts)
    return Prompts.of([one.text for one in prompts_with(study, concept) if one.text in there], concept.name)


def others(sae: SaeConfig, study: PromptSet, concept: Concept) -> Prompts:
    """The prompts with another word of its category."""
    own, there = set(known(sae, study, concept).texts), trained_on(sae, study).prompts.texts
    return Prompts.of([text for text in there if text not in own], f"not {concept.name}")


def feature_of(sae: SaeConfig, hook: str, study: PromptSet, concept: Concept, rank: int = 0) -> ConceptDirection:
    """The direction of the feature that tells the concept best (or of the ``rank``-th best)."""
    return ConceptDirection(firing_on(sae, hook, study), known(sae, study, concept), others(sae, study, concept), rank)
