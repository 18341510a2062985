"""The axes of continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mech_music.base.errors import UserError, unknown
from mech_music.config.schema import RunConfig

if TYPE_CHECKING:
    from mech_music.models.symbolic.tokens import Tokens

_HANDLE = "mech_music.models.symbolic.handle.SymbolicModel"
REGIMES = ("free", "cued", "told")


@dataclass
class ContinuationSettings(RunConfig):
    """``prompts``: held-out pieces of each kind. ``form``: how their forms are announced, free, cued or told."""

    form: str = "free"

    def check(self) -> None:
        if self.model._target_ != _HANDLE:
            raise UserError(f"task=continue: model '{self.model.name}' makes no notes; use model=symbolic-tiny")
        if self.form not in REGIMES:
            raise UserError(unknown("form", self.form, REGIMES))
        if self.prompts < 2:
            raise UserError(f"prompts={self.prompts}: task=continue needs 2 pieces of each kind or more")
        if not self.engine.keep_tokens:
            raise UserError("engine.keep_tokens=false: task=continue compares tokens; leave it at true")
        self.n_frames(self.tokens)

    @property
    def tokens(self) -> Tokens:
        """How the model writes notes, known without loading it."""
        from mech_music.models.symbolic.files import read_config
        from mech_music.models.symbolic.handle import folder_of
        from mech_music.models.symbolic.tokens import KINDS

        shape, grid = read_config(folder_of(self.model))
        return KINDS[shape.tokens](grid)

    @property
    def attention(self) -> str:
        """The model's attention."""
        from mech_music.models.symbolic.files import read_config
        from mech_music.models.symbolic.handle import folder_of

        return read_config(folder_of(self.model))[0].attention

    def n_frames(self, tokens: Tokens) -> int:
        """Frames of a clip. UserError where a piece may have more."""
        found = int(self.duration * self.model.frame_rate)
        most = 10 * tokens.grid.bars * (3 if tokens.name == "event" else 1)  # of planted pieces
        if found < most:
            raise UserError(
                f"duration={self.duration:g} is {found} tokens, and a piece has up to {most}: use "
                f"duration={most / self.model.frame_rate:g}, or a model of that context"
            )
        return found

    def told_apart(self) -> list[str]:
        return ["continue", self.form]
