"""What is recorded to evaluate an SAE, as names, beside those of `mech_music.saes.named`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mech_music.edits.content import stored
from mech_music.saes.named import Corpus, Dictionary, Harvest

POOLINGS = ("mean", "peak", "share", "spread", "onsets", "pulse")
"""What may become of a time course (`mech_music.saes.pooling`)."""

SIMILAR = 0.7
"""A cosine of decoder rows from which on two features are called the same."""


class Linear(StrEnum):
    """Directions of a hook that nobody trains: its own numbers, and the principal components of its vectors."""

    neurons = "neurons"
    components = "components"


@stored
@dataclass(frozen=True)
class Basis:
    """Linear directions in place of an SAE, of vectors about the mean of a harvest; components by their variance."""

    kind: Linear
    harvest: Harvest | Corpus


@stored
@dataclass(frozen=True)
class Pooled:
    """The time courses of features (or of a basis) in the clips of a harvest, conditional half, each pooled by clip."""

    of: Dictionary | Basis
    hook: str
    harvest: Harvest | Corpus
    poolings: tuple[str, ...] = POOLINGS


@stored
@dataclass(frozen=True)
class Overlap:
    """What features of ``sae`` have in common with those of ``other``, at one hook, on the clips of a harvest."""

    sae: Dictionary
    other: Dictionary
    hook: str
    harvest: Harvest | Corpus


@stored
@dataclass(frozen=True)
class Sampled:
    """The tokens of a harvest's clips."""

    harvest: Harvest


@stored
@dataclass(frozen=True)
class Meanings:
    """The entropies of what is sampled where features fire (conditional half), beside ``draws`` of each null.

    ``clusters``: of each codebook's tokens.
    """

    sae: Dictionary
    hook: str
    harvest: Harvest
    clusters: int
    draws: int


@stored
@dataclass(frozen=True)
class Loudness:
    """How features go along with the level of the sound that the clips of a harvest are rendered to."""

    sae: Dictionary
    hook: str
    harvest: Harvest
