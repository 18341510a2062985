"""An edit is data, so is where a lens reads; a row is one clip.

An affine edit of the output of its hook is::

    out'[step, half] = scale · out[step, half] + shift[step, half]

and ``shift`` is written as a weighted sum of *sources*: names of tensors, never tensors,
so that rows stay small, hashable and readable. Replace is ``scale 0, shift = mean(desired)``;
adjust is ``scale 1, shift = mean(desired) − mean(original)`` (Vélez Vásquez et al., ISMIR 2024, section 3).

A name holds everything that decides its tensor (`mech_music.edits.content`): a mean, the prompts themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from mech_music.edits.content import Payloads, canonical, content_digest, from_json, stored, to_json
from mech_music.edits.excerpt import Excerpt


class Half(StrEnum):
    """The halves of a classifier-free-guidance batch; a model without guidance has one, and ``both`` means it."""

    cond = "cond"
    uncond = "uncond"
    both = "both"


class History(StrEnum):
    """Which tokens a prompt is read along while a mean is recorded."""

    own = "own"
    shared = "shared"


@stored
@dataclass(frozen=True)
class Prompts:
    """Texts in their order: equal where the texts are. ``name`` is what people call them."""

    digest: str
    texts: tuple[str, ...] = field(compare=False, repr=False)
    name: str = field(compare=False, default="")

    @classmethod
    def of(cls, texts: tuple[str, ...] | list[str], name: str = "") -> Prompts:
        """Prompts with the digest of their texts."""
        return cls(content_digest(list(texts)), tuple(texts), name)

    def __len__(self) -> int:
        return len(self.texts)

    def payload(self) -> dict[str, Any]:
        """What a file keeps of them, once for all rows that name them."""
        return {"texts": list(self.texts), "name": self.name}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> Prompts:
        """From what `payload` gave."""
        return cls(digest, tuple(payload["texts"]), payload["name"])


@stored
@dataclass(frozen=True)
class Mean:
    """The mean of a hook's output over prompts, per step and guidance half.

    ``history``: ``own`` (each prompt's own generated tokens) or ``shared`` (the tokens of the first prompt, as in the
    code published with the paper). ``heads``: of the attentions' heads (z), not of what enters the stream.
    """

    prompts: Prompts
    seed: int = 0
    history: History = History.own
    heads: bool = False


@stored
@dataclass(frozen=True)
class Similarity:
    """How alike all layers' residual streams are at one point, over prompts."""

    point: str
    prompts: Prompts
    seed: int = 0
    half: Half = Half.both


@stored
@dataclass(frozen=True)
class Term:
    """``weight`` times the tensor that ``source`` names: a `Mean`, or a direction of another kind
    (`mech_music.activations.recipes`)."""

    weight: float
    source: Any


class AnyEdit(Protocol):
    """What every kind of edit is: a frozen dataclass (marked `stored`) that names its hook."""

    @property
    def hook(self) -> str: ...


@stored
@dataclass(frozen=True)
class Edit:
    """``out' = scale · out + Σ weight · source`` at one hook.

    ``frames``: half-open slice of autoregressive steps, None for all. ``half``: guidance half. ``heads``: of a hook
    within attention, None for all.
    """

    hook: str
    scale: float
    shift: tuple[Term, ...] = ()
    frames: tuple[int, int] | None = None
    half: Half = Half.both
    heads: tuple[int, ...] | None = None


@stored
@dataclass(frozen=True)
class Projection:
    """``out' = out + (scale − 1) · (out · d / |d|²) · d`` at one hook: what lies along a direction d is scaled.

    ``direction``: d as a weighted sum of sources, of each step and guidance half. ``scale``: 0 removes the direction
    (Ravfogel et al., "Null It Out", ACL 2020), 1 does nothing, −1 mirrors. ``frames``, ``half``, ``heads``: as in
    `Edit`; of some heads, d is their part.
    """

    hook: str
    scale: float
    direction: tuple[Term, ...]
    frames: tuple[int, int] | None = None
    half: Half = Half.both
    heads: tuple[int, ...] | None = None

    @property
    def shift(self) -> tuple[Term, ...]:
        """The sources that it needs, as `Edit` names them."""
        return self.direction


class OfAnotherEdit:
    """An edit that is made of another one, ``edit``: at its place, and with what it needs."""

    __slots__ = ()
    edit: Any

    @property
    def hook(self) -> str:
        return self.edit.hook

    @property
    def frames(self) -> tuple[int, int] | None:
        return self.edit.frames

    @property
    def half(self) -> Half:
        return self.edit.half

    @property
    def heads(self) -> tuple[int, ...] | None:
        return self.edit.heads

    @property
    def shift(self) -> tuple[Term, ...]:
        """The sources that it needs, as `Edit` names them."""
        return getattr(self.edit, "shift", ())

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return getattr(self.edit, "recorded", ())


@stored
@dataclass(frozen=True, slots=True)
class RandomDirection(OfAnotherEdit):
    """As far as an edit moves its value, at every step and position of a clip, but in a random direction.

    The direction is drawn once from ``seed`` for each hook, and is the same at all steps and in both guidance halves
    (a concept's is nearly so): the control for "any push of that size does it". Of a projection: along the random
    direction, to the side where the value has less of it. ``edit``: of any kind. ``along``: a source whose direction
    (or, with a negative weight, its opposite) is taken in the place of the drawn one.
    """

    edit: Any
    seed: int
    along: Term | None = None

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        parts = (self.edit, self.along.source if self.along else None)
        return tuple(one for part in parts for one in getattr(part, "recorded", ()))


@stored
@dataclass(frozen=True)
class Fit:
    """A tuned lens, named by how it is trained (`mech_music.lenses.tuned`): on so many of the model's own clips.

    ``prompts``: those that clips are drawn from. ``n_held_out`` further clips, of other prompts, measure it.
    ``steps``: autoregressive steps kept of each clip, drawn at random, 0 for all of them.
    """

    prompts: Prompts
    n_clips: int
    n_held_out: int
    steps: int
    epochs: int
    seed: int


@stored
@dataclass(frozen=True)
class Translator:
    """One hook's affine map to the final residual stream, and how near it comes there on held-out clips."""

    hook: str
    fit: Fit


Source = Mean | Similarity | Translator
"""What is recorded from a model's own generations, once, and stored."""


@stored
@dataclass(frozen=True)
class LensFile:
    """A tuned lens that was trained elsewhere, named by its content; where it lies decides nothing."""

    digest: str
    path: str = field(compare=False)

    def payload(self) -> dict[str, Any]:
        """Where it was found."""
        return {"path": self.path}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> LensFile:
        """From what `payload` gave."""
        return cls(digest, payload["path"])


class Reading(StrEnum):
    """What a lens reads along: the tokens that it gives itself, or those of the full model."""

    free = "free"
    forced = "forced"


@stored
@dataclass(frozen=True)
class Exit:
    """Tokens are read off the residual stream at ``hook``, through the final norm and heads (DecoderLens).

    ``lens``: the translators to apply before the norm; None for none.
    """

    hook: str
    reading: Reading = Reading.free
    lens: Fit | LensFile | None = None


@stored
@dataclass(frozen=True)
class Prefix:
    """Tokens of the first frames, which a generation continues; named by their content."""

    digest: str
    tokens: tuple[tuple[int, ...], ...] = field(compare=False, repr=False)  # [codebook][frame]

    @classmethod
    def of(cls, tokens: tuple[tuple[int, ...], ...] | list[list[int]]) -> Prefix:
        """From ``[codebook][frame]`` numbers. ValueError if codebooks differ in length or there is no frame."""
        frozen = tuple(tuple(int(token) for token in codebook) for codebook in tokens)
        if not frozen or not frozen[0] or len({len(codebook) for codebook in frozen}) != 1:
            raise ValueError("a prefix is [codebook][frame], at least one frame, the same number in each codebook")
        return cls(content_digest([list(codebook) for codebook in frozen]), frozen)

    @property
    def n_frames(self) -> int:
        return len(self.tokens[0])

    def payload(self) -> dict[str, Any]:
        """The tokens."""
        return {"tokens": [list(codebook) for codebook in self.tokens]}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> Prefix:
        """From what `payload` gave."""
        return cls(digest, tuple(tuple(codebook) for codebook in payload["tokens"]))


@stored
@dataclass(frozen=True, slots=True)
class Row:
    """One clip: nothing else decides it, given the model and the generation settings.

    The sampling noise is a function of ``(prompt, seed)``, so the same prompt and seed with and
    without edits are a matched pair. ``edits``: of any kind (`AnyEdit`). ``exit``: where the tokens are read off, if
    not at the end.
    """

    prompt: str
    seed: int
    edits: tuple[Any, ...] = ()
    exit: Exit | None = None
    prefix: Prefix | Excerpt | None = None

    def key(self, context: str) -> str:
        """Content address under a context (fingerprints and settings): 64 hex digits."""
        deciding = canonical((self.edits, self.exit, self.prefix))
        return hashlib.sha256(f"{context}\n{self.seed}\n{deciding}\n{self.prompt}".encode()).hexdigest()

    def to_json(self, payloads: Payloads) -> Any:
        """What a file keeps of a row; the contents that it names go to ``payloads``, by digest."""
        return to_json(self, payloads)

    @classmethod
    def from_json(cls, written: Any, payloads: Payloads) -> Row:
        """The row that `to_json` wrote. ValueError for a kind of edit that is not known here."""
        row = from_json(written, payloads)
        assert isinstance(row, cls)
        return row
