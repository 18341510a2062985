"""What is recorded of one layer's SAE and of what is set beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mech_music.saes.measured import Basis, Linear, Loudness, Meanings, Overlap, Pooled
from mech_music.saes.named import (
    AtNeighbours,
    Corpus,
    Dictionary,
    Firing,
    Harvest,
    RandomSae,
    SaeFile,
    SplicedIn,
    TrainedSae,
)
from mech_music.saes.settings import checked, held_out, spliced, trained_on
from mech_music.tasks.sae.concept_scores import Word, labels
from mech_music.tasks.sae.settings import SaeSettings

SHUFFLE = 7  # seed of the labels that are dealt out
_RANDOM = 1_000_003  # of the random dictionary


@dataclass(frozen=True)
class Site:
    """One layer of a run: its SAE at its hook."""

    run: SaeSettings
    layer: int
    hook: str
    sae: Dictionary

    @property
    def clips(self) -> tuple[Harvest | Corpus, Harvest | Corpus]:
        """Those that features are chosen by (the SAE is trained on them), and those held out."""
        return trained_on(self.run.sae, self.run.study), held_out(self.run.sae, self.run.study)

    def labels(self, shuffle: int | None = None) -> tuple[dict[Word, Any], dict[Word, Any]]:
        """The words that both sets of clips have; of a corpus there may be none."""
        chosen, tested = (labels(self.run.study, clips, shuffle) for clips in self.clips)
        both = [word for word in chosen if word in tested]
        return {word: chosen[word] for word in both}, {word: tested[word] for word in both}

    # -- what is recorded ------------------------------------------------------------------------------------

    @cached_property
    def random(self) -> RandomSae:
        """The random dictionary beside it."""
        assert not isinstance(self.sae, RandomSae)
        return RandomSae(self.sae, _RANDOM + self.run.sae.seed)

    @property
    def others(self) -> list[TrainedSae]:
        """SAEs of further seeds, trained on the same clips; none beside one from a file."""
        if not isinstance(self.sae, TrainedSae):
            return []
        fit, n = self.sae.fit, self.run.evaluation.seeds
        return [TrainedSae(self.hook, replace(fit, seed=fit.seed + 1 + more)) for more in range(n)]

    @property
    def firings(self) -> tuple[Firing, Firing]:
        """On both sets of clips."""
        chosen, tested = (Firing(self.sae, self.hook, clips) for clips in self.clips)
        return chosen, tested

    @property
    def random_firing(self) -> Firing:
        """Of the random dictionary, on clips held out."""
        return Firing(self.random, self.hook, self.clips[1])

    @property
    def at_neighbours(self) -> AtNeighbours | None:
        """Of a file, whether it is of its hook."""
        if not isinstance(self.sae, SaeFile) or not self.run.sae.check_hook:
            return None
        return AtNeighbours(self.sae, self.hook, checked(self.run.sae, self.run.study))

    @property
    def spliced(self) -> SplicedIn:
        return SplicedIn(self.sae, self.hook, spliced(self.run.sae, self.run.study))

    def pooled(self, role: str) -> tuple[Pooled, Pooled]:
        """Of what is set beside each other, on both sets of clips."""
        chosen, tested = self.clips
        bases = {"neuron": Basis(Linear.neurons, chosen), "pca": Basis(Linear.components, chosen)}
        of = {"sae": self.sae, "random": self.random, **bases}[role]
        names = tuple(self.run.evaluation.poolings)
        return Pooled(of, self.hook, chosen, names), Pooled(of, self.hook, tested, names)

    @property
    def overlaps(self) -> dict[str, list[Overlap]]:
        """With each other seed's SAE, and with the random dictionary, by role."""
        held = self.clips[1]
        other = {"sae": self.others, "random": [self.random] if self.others else []}
        return {role: [Overlap(self.sae, one, self.hook, held) for one in found] for role, found in other.items()}

    @property
    def meanings(self) -> Meanings | None:
        """None for a corpus: nothing is sampled where audio is read."""
        how, held = self.run.evaluation, self.clips[1]
        if not how.draws or isinstance(held, Corpus):
            return None
        return Meanings(self.sae, self.hook, held, how.clusters, how.draws)

    @property
    def loudness(self) -> Loudness | None:
        held = self.clips[1]
        if not self.run.evaluation.sound or isinstance(held, Corpus):
            return None
        return Loudness(self.sae, self.hook, held)

    def requests(self) -> Iterator[Any]:
        """Everything, the SAE first."""
        yield from [self.sae] if isinstance(self.sae, TrainedSae) else []
        yield from (*self.firings, self.random_firing, self.spliced)
        for role in ("sae", "random", "neuron", "pca"):
            yield from self.pooled(role)
        for overlaps in self.overlaps.values():
            yield from overlaps
        yield from (one for one in (self.at_neighbours, self.meanings, self.loudness) if one is not None)


def sites(run: SaeSettings) -> list[Site]:
    """The layers of a run."""
    return [Site(run, layer, hook, sae) for layer, (hook, sae) in run.saes.items()]
