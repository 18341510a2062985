"""What the feature browser shows of the SAEs of a job: their features on held-out clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mech_music.saes.catalogue import Catalogue, Steering, feature_set, sources_of
from mech_music.saes.named import Firing
from mech_music.saes.settings import held_out, trained_on
from mech_music.tasks.sae.concept_scores import labels

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers
    from mech_music.tasks.sae.settings import SaeSettings as Settings


def needed(run: Settings) -> list[Any]:
    """Recordings of held-out clips; with steering, what features do on the clips trained on as well."""
    browser, wanted = run.browser, []
    if not browser.features:
        return []
    for hook, sae in run.saes.values():
        held = Firing(sae, hook, held_out(run.sae, run.study))
        wanted += [held, *sources_of(sae, held, browser)]
    return wanted


def catalogue(run: Settings, answers: Answers) -> Catalogue:
    """One set for each layer, in the order of the config."""
    browser, held = run.browser, held_out(run.sae, run.study)
    words = {(word.category, word.text): positive for word, positive in labels(run.study, held).items()}
    sets = []
    for layer, (hook, sae) in run.saes.items():
        moments, _ = sources_of(sae, Firing(sae, hook, held), browser)
        added = Steering(Firing(sae, hook, trained_on(run.sae, run.study)), tuple(browser.strengths))
        steering = added if browser.steered else None
        model = run.model
        sets.append(feature_set(layer, model.delay, model.frame_rate, moments, words, answers.records, steering))
    return Catalogue(run.model.name, sets, browser.features, browser.steered)
