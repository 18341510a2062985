"""How loud a clip is at each frame of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from jaxtyping import Float32

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips

QUIET = -100.0
"""What is read of digital silence, dB."""


class Loudness:
    """``db [frame]``: the root mean square of each frame's samples, dB below full scale; at least `QUIET`."""

    id, in_background = "loudness 1", True

    @classmethod
    def from_run(cls, run: RunConfig, **settings: Any) -> Self:
        """The same for every run."""
        return cls()

    def load(self) -> None:
        """There is nothing to load."""

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip frame"]]:
        """A level for each frame; the last one may be of fewer samples."""
        n_frames, audio = clips.tokens.shape[-1], clips.audio.float().cpu()
        edges = np.linspace(0, audio.shape[1], n_frames + 1).round().astype(int)
        squares = torch.nn.functional.pad(audio.double().square().cumsum(1), (1, 0))
        mean = (squares[:, edges[1:]] - squares[:, edges[:-1]]) / torch.from_numpy(np.maximum(np.diff(edges), 1))
        level = 10 * torch.log10(mean.clamp(min=0) + 1e-30)
        return {"db": level.clamp(min=QUIET).float().numpy()}
