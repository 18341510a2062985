"""What a listener is: clips in, named arrays out.

A clip knows nothing of who listens to it: its tokens are stored under what decides them, and a listener's readings
beside them, under the listener's own id. A new listener hears stored clips; nothing is generated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mech_music.edits.row import Row

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

Reading = Mapping[str, np.ndarray]


class Clips:
    """Clips for a listener; sound is made of their tokens when it is first asked for.

    Attributes:
        rows: what each clip is.
        tokens: ``[clip, codebook, frame]``.
        generator: the model that made them, unedited.
    """

    def __init__(self, rows: Sequence[Row], tokens: Int[Tensor, "clip codebook frame"], generator: Generator):
        self.rows, self.tokens, self.generator = rows, tokens, generator

    @cached_property
    def audio(self) -> Float[Tensor, "clip sample"]:
        """Mono, full scale ±1."""
        return self.generator.to_audio(self.tokens)

    @property
    def sample_rate(self) -> int:
        """Of the audio, Hz."""
        return self.generator.sample_rate


class Listener(Protocol):
    """``id``: everything that decides its readings, known without loading it (class, code, weights by content).

    ``in_background``: whether it may read clips while the model generates others; not if it runs that model itself.
    """

    in_background: bool

    @property
    def id(self) -> str: ...

    def load(self) -> None:
        """Load what `read` needs, if that was not done (before worker processes copy it)."""
        ...

    def read(self, clips: Clips) -> Mapping[str, Float32[np.ndarray, "clip ..."]]:
        """Named arrays, a line for each clip. A clip's line must not depend on the other clips."""
        ...
