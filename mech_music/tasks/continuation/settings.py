"""The axes of continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mech_music.base.errors import UserError, unknown
from mech_music.config.schema import RunConfig

if TYPE_CHECKING:
    from mech_music.models.symbolic.corpora.registry import Corpus
    from mech_music.models.symbolic.tokens import Tokens
    from mech_music.tasks.continuation.pieces import Case

_HANDLE = "mech_music.models.symbolic.handle.SymbolicModel"
REGIMES = ("free", "cued", "told")


@dataclass
class ContinuationSettings(RunConfig):
    """``prompts``: held-out pieces, of each kind if planted. ``form``: how planted forms are announced, free, cued or
    told."""

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

    @property
    def corpus(self) -> Corpus | None:
        """What the model was trained on, None for planted pieces. UserError if it cannot be read or is another now."""
        from mech_music.models.symbolic.corpora.registry import PLANTED, CorpusConfig, load
        from mech_music.models.symbolic.files import read_card
        from mech_music.models.symbolic.handle import folder_of

        card = read_card(folder_of(self.model))
        if not card or card["corpus"]["name"] == PLANTED:
            return None
        name = card["corpus"]["name"]
        if self.form != "free":
            raise UserError(
                f"form={self.form}: only planted pieces have forms, and this model is of {name}; leave it out"
            )
        corpus = load(CorpusConfig(**card["corpus"]))
        if corpus.manifest["digest"] != card["digest"]:
            raise UserError(
                f"corpus {name} is not what this model was trained on, so pieces may not be held out: restore its "
                "files (or music21's version), or train again"
            )
        return corpus

    def cases(self) -> tuple[Case, ...]:
        """What is continued: held-out pieces of what the model was trained on."""
        from mech_music.tasks.continuation.pieces import cases, corpus_cases

        corpus = self.corpus
        return cases(self.study, self.form, self.prompts) if corpus is None else corpus_cases(corpus, self.prompts)

    def n_frames(self, tokens: Tokens) -> int:
        """Frames of a clip. UserError where a piece may have more."""
        found = int(self.duration * self.model.frame_rate)
        corpus = self.corpus
        if corpus is None:
            most = 10 * tokens.grid.bars * (3 if tokens.name == "event" else 1)
        else:
            most = 1 + max(len(tokens.encode(one.notes)) for one in corpus.held_out)
        if found < most:
            raise UserError(
                f"duration={self.duration:g} is {found} tokens, and a piece has up to {most}: use "
                f"duration={most / self.model.frame_rate:g}, or a model of that context"
            )
        return found

    def told_apart(self) -> list[str]:
        return ["continue", self.form]
