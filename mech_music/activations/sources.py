"""What activations are streamed from: generations, given tokens, given audio, or nothing but noise.

Each names, by content, everything that decides its clips (`about`), and hands them out a few at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.content import canonical, content_digest
from mech_music.edits.row import Prefix, Row

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

Part = tuple[list[Row], Int[Tensor, "row codebook frame"] | None]
"""Some clips: as rows, and the tokens to read along, where they are not generated."""


@runtime_checkable
class Source(Protocol):
    """``guidance``: that its clips are generated with, None for that of the settings."""

    guidance: ClassVar[float | None]

    def __len__(self) -> int:
        """Clips."""
        ...

    def prompt(self, place: int) -> str: ...
    def n_frames(self, generator: Generator) -> int | None:
        """Of each clip; None for as many as the settings say."""
        ...

    def part(self, places: Sequence[int], generator: Generator) -> Part: ...
    def about(self) -> dict[str, Any]:
        """JSON, another one for other clips."""
        ...


@dataclass(frozen=True)
class Generated:
    """Rows, generated with their edits."""

    clips: Sequence[Row]
    guidance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if leaving := next((row for row in self.clips if row.exit), None):
            raise UserError(f"a stream is of whole clips, but the row of '{leaving.prompt}' has an exit: leave it out")

    def __len__(self) -> int:
        return len(self.clips)

    def prompt(self, place: int) -> str:
        return self.clips[place].prompt

    def n_frames(self, generator: Generator) -> None:
        return None

    def part(self, places: Sequence[int], generator: Generator) -> Part:
        return [self.clips[place] for place in places], None

    def about(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for row in self.clips:
            digest.update(canonical(row).encode())
        return {"rows": digest.hexdigest()}


@dataclass(frozen=True)
class Unconditional:
    """Clips of nothing but noise: the empty prompt, tokens drawn under the null condition; seeds from ``seed`` on."""

    n_clips: int
    seed: int = 0
    guidance: ClassVar[float | None] = 0.0

    def __len__(self) -> int:
        return self.n_clips

    def prompt(self, place: int) -> str:
        return ""

    def n_frames(self, generator: Generator) -> None:
        return None

    def part(self, places: Sequence[int], generator: Generator) -> Part:
        return [Row("", self.seed + place) for place in places], None

    def about(self) -> dict[str, Any]:
        return {"unconditional": [self.n_clips, self.seed]}


@dataclass(frozen=True)
class Tokens:
    """Clips' tokens, read along (teacher forcing); as rows they are prefixes that leave nothing to generate.

    ``clips``: an array or a memory map ``[clip codebook frame]``. ``prompts``: one for each; the empty one if None.
    """

    clips: Int[np.ndarray, "clip codebook frame"]
    prompts: Sequence[str] | None = None
    guidance: ClassVar[float | None] = None
    _dims: ClassVar[tuple[str, ...]] = ("clip", "codebook", "frame")

    def __post_init__(self) -> None:
        if len(self.clips.shape) != len(self._dims):
            raise UserError(f"given clips have shape {list(self.clips.shape)}, expected [{', '.join(self._dims)}]")
        if self.prompts is not None and len(self.prompts) != len(self.clips):
            raise UserError(f"{len(self.clips)} clips are given with {len(self.prompts)} prompts: give one for each")

    def __len__(self) -> int:
        return len(self.clips)

    def prompt(self, place: int) -> str:
        return self.prompts[place] if self.prompts else ""

    def n_frames(self, generator: Generator) -> int:
        return self.tokens([0], generator).shape[-1]

    def part(self, places: Sequence[int], generator: Generator) -> Part:
        tokens = self.tokens(places, generator)
        clips = zip(places, tokens.tolist(), strict=True)
        return [Row(self.prompt(place), 0, prefix=Prefix.of(clip)) for place, clip in clips], tokens

    def tokens(self, places: Sequence[int], generator: Generator) -> Int[Tensor, "row codebook frame"]:
        """UserError for tokens that the model does not have."""
        found = torch.as_tensor(np.asarray(self.clips[list(places)]), device=generator.device).long()
        if found.shape[1] != generator.n_codebooks or found.min() < 0 or found.max() >= generator.card:
            raise UserError(
                f"given tokens, {found.shape[1]} codebooks from {int(found.min())} to {int(found.max())}, are not this "
                f"model's: it has {generator.n_codebooks} codebooks with tokens 0 to {generator.card - 1}"
            )
        return found

    def about(self) -> dict[str, Any]:
        return {type(self).__name__.lower(): _digest(self.clips), "prompts": content_digest(list(self.prompts or ()))}


@dataclass(frozen=True)
class Audio(Tokens):
    """Mono clips of one length ``[clip sample]``, encoded by the model's codec and read along."""

    clips: Float[np.ndarray, "clip sample"]
    prompts: Sequence[str] | None = None
    sample_rate: int = 32_000
    _dims: ClassVar[tuple[str, ...]] = ("clip", "sample")

    def tokens(self, places: Sequence[int], generator: Generator) -> Int[Tensor, "row codebook frame"]:
        """One at a time, so that no clip's tokens depend on others."""
        audio = torch.as_tensor(np.asarray(self.clips[list(places)])).float()
        return torch.cat([generator.to_tokens(clip, self.sample_rate) for clip in audio.split(1)])

    def about(self) -> dict[str, Any]:
        return super().about() | {"sample_rate": self.sample_rate}


def _digest(array: Any) -> str:
    """SHA-256 of an array's content, read a few megabytes at a time."""
    digest = hashlib.sha256(f"{array.dtype} {list(array.shape)}".encode())
    for start in range(0, len(array), 64):
        digest.update(np.ascontiguousarray(array[start : start + 64]).tobytes())
    return digest.hexdigest()
