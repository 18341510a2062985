"""An edit is data, so is where a lens reads; a row is one clip.

Every edit is affine in the output of its hook::

    out'[step, half] = scale · out[step, half] + shift[step, half]

and ``shift`` is written as a weighted sum of *sources*: names of tensors, never tensors,
so that rows stay small, hashable and readable. Replace is ``scale 0, shift = mean(desired)``;
adjust is ``scale 1, shift = mean(desired) − mean(original)`` (Vélez Vásquez et al., ISMIR 2024, section 4).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol


class Half(StrEnum):
    """The halves of a classifier-free-guidance batch."""

    cond = "cond"
    uncond = "uncond"
    both = "both"


class History(StrEnum):
    """Which tokens a prompt is read along while a mean is recorded."""

    own = "own"
    shared = "shared"


@dataclass(frozen=True)
class Mean:
    """The mean of a hook's output over a concept's prompts, per step and guidance half.

    ``history``: ``own`` (each prompt's own generated tokens) or ``shared`` (the tokens of the
    concept's first prompt, as in the code published with the paper).
    """

    concept: str
    n_prompts: int
    seed: int = 0
    history: History = History.own


@dataclass(frozen=True)
class Similarity:
    """How alike all layers' residual streams are at one point, over a concept's prompts."""

    point: str
    concept: str
    n_prompts: int
    seed: int = 0
    half: Half = Half.both


@dataclass(frozen=True)
class Term:
    """``weight`` times the tensor that ``source`` names."""

    weight: float
    source: Mean


class AnyEdit(Protocol):
    """What every kind of edit is: a frozen dataclass that names its hook."""

    @property
    def hook(self) -> str: ...


@dataclass(frozen=True)
class Edit:
    """``out' = scale · out + Σ weight · source`` at one hook.

    ``frames``: half-open slice of autoregressive steps, None for all. ``half``: guidance half. ``heads``: of a hook
    within attention, None for all. ``random``: if not None, the shift is turned into a random direction of the same
    norm (drawn once from this seed for each hook, step and half): the control for "any push does it".
    """

    hook: str
    scale: float
    shift: tuple[Term, ...] = ()
    frames: tuple[int, int] | None = None
    half: Half = Half.both
    random: int | None = None
    heads: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Fit:
    """A tuned lens, named by how it is trained (`mech_music.lenses.tuned`): on so many of the model's own clips.

    ``n_held_out`` further clips, of other prompts, measure it. ``steps``: autoregressive steps kept of each clip,
    drawn at random, 0 for all of them.
    """

    n_clips: int
    n_held_out: int
    steps: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Translator:
    """One hook's affine map to the final residual stream, and how near it comes there on held-out clips."""

    hook: str
    fit: Fit


Source = Mean | Similarity | Translator
"""What is recorded from a model's own generations, once, and stored."""


@dataclass(frozen=True)
class LensFile:
    """A tuned lens that was trained elsewhere, named by its content; where it lies decides nothing."""

    sha256: str
    path: str = field(compare=False)


class Reading(StrEnum):
    """What a lens reads along: the tokens that it gives itself, or those of the full model."""

    free = "free"
    forced = "forced"


@dataclass(frozen=True)
class Exit:
    """Tokens are read off the residual stream at ``hook``, through the final norm and heads (DecoderLens).

    ``lens``: the translators to apply before the norm; None for none.
    """

    hook: str
    reading: Reading = Reading.free
    lens: Fit | LensFile | None = None


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
        return cls(hashlib.sha256(json.dumps(frozen).encode()).hexdigest()[:32], frozen)

    @property
    def n_frames(self) -> int:
        return len(self.tokens[0])


@lru_cache(maxsize=2**16)
def _canonical(edits: tuple[Any, ...], leave: Exit | None) -> str:
    """Edits and exit as text; many prompts share the same ones."""
    text = json.dumps([asdict(edit) for edit in edits], sort_keys=True, separators=(",", ":"))
    if leave is None:
        return text
    lens = leave.lens.sha256 if isinstance(leave.lens, LensFile) else leave.lens and asdict(leave.lens)
    return text + json.dumps([leave.hook, leave.reading, lens], sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Row:
    """One clip: nothing else decides it, given the model and the generation settings.

    The sampling noise is a function of ``(prompt, seed)``, so the same prompt and seed with and
    without edits are a matched pair. ``exit``: where the tokens are read off, if not at the end.
    """

    prompt: str
    seed: int
    edits: tuple[AnyEdit, ...] = ()
    exit: Exit | None = None
    prefix: Prefix | None = None

    def key(self, context: str) -> str:
        """Content address under a context (fingerprints and settings): 64 hex digits."""
        canonical = f"{context}\n{self.seed}\n{_canonical(self.edits, self.exit)}\n{self.prompt}"
        return hashlib.sha256(canonical.encode()).hexdigest()
