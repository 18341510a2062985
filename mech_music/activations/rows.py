"""The activations of single rows, as long as the pass that needs them (patches do)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from mech_music.edits.row import Row
from mech_music.models.hooks import Hook


class RowRecorder:
    """Keeps all that the rows of a pass have at some hooks."""

    def __init__(self, rows: Sequence[Row], hooks: Sequence[Hook]) -> None:
        self._rows = rows
        self.values: dict[tuple[Row, Hook], list[Float[Tensor, "half position width"]]]
        self.values = {(row, hook): [] for hook in hooks for row in rows}

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half position width"]) -> None:
        """The next step of a hook."""
        for row, of_row in zip(self._rows, value.clone(), strict=True):
            self.values[row, hook].append(of_row)
