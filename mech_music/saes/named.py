"""SAEs as sources: names that hold everything which decides them, as `mech_music.edits.row` has means and lenses.

A `Harvest` is clips whose activations are kept, generated ones or (a `Corpus`) given as sound; an `SaeFit` is trained
on one; `Firing` and `SplicedIn` say what an SAE does on one. Directions are tensors for affine edits, found in these
recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from mech_music.edits.content import content_digest, stored
from mech_music.edits.excerpt import Excerpt
from mech_music.edits.row import Half, Prompts, Row

if TYPE_CHECKING:
    from mech_music.prompts.prompt_set import PromptSet


class Training(StrEnum):
    """How features are kept sparse in training. batchtopk and matryoshka (batchtopk whose first features make do alone)
    are used as jumprelu afterwards, with the learnt threshold."""

    topk = "topk"
    batchtopk = "batchtopk"
    matryoshka = "matryoshka"
    relu = "relu"
    jumprelu = "jumprelu"

    @property
    def counts(self) -> bool:
        """Whether ``k`` says how many features are active; a penalty does otherwise."""
        return self in (Training.topk, Training.batchtopk, Training.matryoshka)

    @property
    def batchwise(self) -> bool:
        """Whether the k are chosen among all of a batch."""
        return self in (Training.batchtopk, Training.matryoshka)


@stored
@dataclass(frozen=True)
class Harvest:
    """Clips of prompts in turn, with seeds from ``seed`` on; their activations are kept as ``dtype``."""

    prompts: Prompts
    n_clips: int
    seed: int
    dtype: str = "float16"

    @property
    def rows(self) -> list[Row]:
        """Every clip."""
        texts = self.prompts.texts
        return [Row(texts[i % len(texts)], self.seed + i // len(texts)) for i in range(self.n_clips)]

    @property
    def units(self) -> list[int]:
        """Of each clip, the place of its prompt: clips of one are drawn together where intervals are made."""
        return [place % len(self.prompts.texts) for place in range(self.n_clips)]

    def words(self, study: PromptSet) -> list[Mapping[str, str]]:
        """Of each clip, the word that its prompt has of each category."""
        known = {prompt.text: prompt.words for prompt in study.balanced_prompts}
        return [known[row.prompt] for row in self.rows]


@dataclass(frozen=True)
class GivenClip:
    """One clip of a corpus: what is heard, the prompt that it is read with, and what is known of it by category."""

    excerpt: Excerpt
    prompt: str = ""
    words: Mapping[str, str] = field(default_factory=dict, hash=False)


@stored
@dataclass(frozen=True)
class Corpus:
    """Clips of audio files, read along (teacher forcing); an empty prompt is MusicGen's null condition.

    Named by the content of the files, where clips begin, and their prompts; used as a `Harvest` is.
    """

    digest: str
    clips: tuple[GivenClip, ...] = field(compare=False, repr=False)
    dtype: str = field(compare=False, default="float16")
    seed: ClassVar[int] = 0

    @classmethod
    def of(cls, clips: Sequence[GivenClip], dtype: str = "float16") -> Corpus:
        """With the digest of what decides its activations."""
        return cls(content_digest([dtype, [[one.excerpt.digest, one.prompt] for one in clips]]), tuple(clips), dtype)

    def payload(self) -> dict[str, Any]:
        """Where the clips are found."""
        clips = [[one.excerpt.payload(), one.prompt, dict(one.words)] for one in self.clips]
        return {"clips": clips, "dtype": self.dtype}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> Corpus:
        """From what `payload` gave."""
        found = [GivenClip(Excerpt.of(**where), prompt, words) for where, prompt, words in payload["clips"]]
        return cls(digest, tuple(found), payload["dtype"])

    @property
    def n_clips(self) -> int:
        return len(self.clips)

    @property
    def prompts(self) -> Prompts:
        """Each prompt once; an empty one mostly."""
        return Prompts.of(list(dict.fromkeys(one.prompt for one in self.clips)), "corpus")

    @property
    def one_half(self) -> bool:
        """Whether both guidance halves would read the same: no clip has a prompt."""
        return not any(one.prompt for one in self.clips)

    @property
    def rows(self) -> list[Row]:
        """Every clip."""
        return [Row(one.prompt, 0, prefix=one.excerpt) for one in self.clips]

    @property
    def units(self) -> list[int]:
        """Of each clip, the place of its recording."""
        places = {track: place for place, track in enumerate(dict.fromkeys(one.excerpt.track for one in self.clips))}
        return [places[one.excerpt.track] for one in self.clips]

    def words(self, study: PromptSet) -> list[Mapping[str, str]]:
        """Of each clip, what the manifest knows of it by category."""
        return [one.words for one in self.clips]


def numbered(units: Sequence[int]) -> list[tuple[int, int]]:
    """Of each clip, its unit (prompt or recording), and which of that unit's clips it is."""
    met: dict[int, int] = {}
    found = []
    for unit in units:
        found.append((unit, met.get(unit, 0)))
        met[unit] = met.get(unit, 0) + 1
    return found


@stored
@dataclass(frozen=True)
class SaeFit:
    """An SAE by how it is trained (`mech_music.saes.training`): on the vectors of one guidance half, or of both.

    ``k``: features of a vector, of topk, batchtopk and matryoshka; ``sparsity``: the weight of the penalty, of relu
    (L1) and jumprelu (L0). ``rate``: Adam's. ``batch``: vectors. ``compute``: the format of products, float32 or
    bfloat16; weights and Adam's state are float32.
    """

    harvest: Harvest | Corpus
    n_features: int
    k: int
    training: Training
    sparsity: float
    epochs: int
    batch: int
    rate: float
    seed: int
    half: Half = Half.cond
    compute: str = "float32"


@stored
@dataclass(frozen=True)
class TrainedSae:
    """An SAE that is found in the store, or trained."""

    made: ClassVar[int] = 2
    hook: str
    fit: SaeFit


@stored
@dataclass(frozen=True)
class SaeFile:
    """An SAE in a folder, named by its content; where it lies decides nothing. ``hook``: what the file's own name of
    its hook stands for, empty for what `mech_music.saes.hook_names` takes it for."""

    digest: str
    path: str = field(compare=False)
    hook: str = field(default="", compare=False)

    def payload(self) -> dict[str, Any]:
        """Where it was found."""
        return {"path": self.path, "hook": self.hook}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> SaeFile:
        """From what `payload` gave."""
        return cls(digest, payload["path"], payload.get("hook", ""))


@stored
@dataclass(frozen=True)
class RandomSae:
    """The control for an SAE: as many features, as many of them active, in random directions."""

    made: ClassVar[int] = 2
    like: TrainedSae | SaeFile
    seed: int


Dictionary = TrainedSae | SaeFile | RandomSae


def recorded_for(sae: Dictionary) -> tuple[Any, ...]:
    """What has to be recorded before an SAE can be used."""
    if isinstance(sae, RandomSae):
        return recorded_for(sae.like)
    return (sae,) if isinstance(sae, TrainedSae) else ()


@stored
@dataclass(frozen=True)
class Firing:
    """What the features of an SAE do on the clips of a harvest, read at ``hook``, and what they do not explain."""

    made: ClassVar[int] = 3
    sae: Dictionary
    hook: str
    harvest: Harvest | Corpus


@stored
@dataclass(frozen=True)
class SplicedIn:
    """What becomes of the model's distributions when the SAE's reconstruction takes the place of a hook's value."""

    sae: Dictionary
    hook: str
    harvest: Harvest | Corpus


@stored
@dataclass(frozen=True)
class AtNeighbours:
    """What an SAE that was read leaves unexplained at its hook and at neighbouring ones, on the clips of a harvest."""

    sae: SaeFile
    hook: str
    harvest: Harvest | Corpus


@stored
@dataclass(frozen=True)
class FeatureDirection:
    """``β · W_dec[feature]``, β the feature's largest activation on a harvest: what is added to steer."""

    firing: Firing
    feature: int

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)


@stored
@dataclass(frozen=True)
class ConceptDirection:
    """The direction of the feature that tells a concept's clips from others of the harvest with the ``rank``-th highest
    AUROC, from 0. ``prompts``: the concept's; ``others``: those that it is told from.
    """

    firing: Firing
    prompts: Prompts
    others: Prompts
    rank: int = 0

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)


@stored
@dataclass(frozen=True)
class ConceptFeatures:
    """The ``n`` features that tell a concept's clips from others of the harvest with the highest AUROC, as a vector
    over features: each one's mean activation on the concept's clips, 0 for all others. ``prompts``, ``others``: as in
    `ConceptDirection`.

    ``draw``: in their place as many others that fire about as often, drawn at random from this seed.
    """

    firing: Firing
    prompts: Prompts
    others: Prompts
    n: int = 1
    draw: int | None = None

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)


@stored
@dataclass(frozen=True)
class ConceptShift:
    """``Σ_j (mean f_j on the concept's clips − mean f_j on others) · W_dec[j]`` over the ``n`` features with the
    longest terms: the difference of means, as far as these features have it. ``others``: of the concept to leave.
    ``n = 0``: the difference of the hook's own means on these clips, whatever the SAE makes of them.
    """

    firing: Firing
    prompts: Prompts
    others: Prompts
    n: int

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)


@stored
@dataclass(frozen=True)
class RandomFeatures:
    """A direction made of ``n`` features that fire, drawn at random from ``seed``: their decoder's rows as unit
    vectors, of several each with a random sign. ``beside``: sources whose own features are not drawn."""

    firing: Firing
    n: int
    seed: int
    beside: tuple[Any, ...] = ()

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)
