"""A clip that is given as sound: a piece of an audio file, in the tokens of the model's codec."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError, first_line
from mech_music.edits.content import content_digest, stored

if TYPE_CHECKING:
    from jaxtyping import Float32, Int
    from torch import Tensor

    from mech_music.models.protocol import Generator


@stored
@dataclass(frozen=True)
class Excerpt:
    """A prefix that leaves nothing to generate: an audio file from ``start`` seconds on, for as long as the clip lasts.

    Named by the file's content (``sha256``) and the start; where it lies decides nothing. ``track``: the recording that
    it belongs to: clips of one are not held out from each other.
    """

    digest: str
    path: str = field(compare=False)
    sha256: str = field(compare=False, repr=False)
    start: float = field(compare=False)
    track: str = field(compare=False)

    @classmethod
    def of(cls, path: str, sha256: str, start: float = 0.0, track: str = "") -> Excerpt:
        """With the digest of what decides it."""
        return cls(content_digest([sha256, start]), path, sha256, start, track or Path(path).stem)

    def payload(self) -> dict[str, Any]:
        """Where it is found."""
        return {"path": self.path, "sha256": self.sha256, "start": self.start, "track": self.track}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> Excerpt:
        """From what `payload` gave."""
        return cls(digest, **payload)

    def tokens(self, model: Generator, n_frames: int) -> Int[Tensor, "codebook frame"]:
        """Mixed down, resampled and encoded by the model's codec, alone, so that they do not depend on other clips.

        UserError for a file that is not there, is another one by now, cannot be read, or ends too early.
        """
        audio, rate = self._sound(n_frames / model.frame_rate)
        found = model.to_tokens(audio[None], rate)[0, :, :n_frames]
        if found.shape[-1] < n_frames:
            raise UserError(
                f"'{self.path}' has {found.shape[-1]} of {n_frames} frames from {self.start:g} s on: take a shorter "
                "duration"
            )
        return found

    def _sound(self, seconds: float) -> tuple[Float32[Tensor, " sample"], int]:
        import soundfile
        import torch

        try:
            state = Path(self.path).stat()
            if _digest(self.path, state.st_size, state.st_mtime_ns) != self.sha256:
                raise UserError(
                    f"'{self.path}' has changed: its SHA-256 is not {self.sha256[:12]}… any more; put it back"
                )
            with soundfile.SoundFile(self.path) as file:
                file.seek(round(self.start * file.samplerate))
                audio = file.read(
                    -(-int(seconds * file.samplerate * 1000) // 1000) + 1, dtype="float32", always_2d=True
                )
                return torch.from_numpy(audio.mean(1)), file.samplerate
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"'{self.path}' cannot be read ({first_line(error)})") from None


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed: int) -> str:
    """SHA-256 of a file, once for as long as it is not touched."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
