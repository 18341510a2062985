"""What is recorded of annotated pieces, by names that hold all that decides it; and what is edited, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.row import Half
from mech_music.saes.named import Dictionary, Firing
from mech_music.saes.named import recorded_for as recorded_for_sae

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator
    from mech_music.structure.pieces.annotated import AnnotatedPiece, Pieces


@stored
@dataclass(frozen=True)
class PieceSet:
    """The first ``n`` of some annotated pieces, named by their ``id``; ``seed``: which tracks are tested on."""

    id: str
    n: int
    seed: int
    opened: Pieces | None = field(default=None, compare=False, repr=False)

    def load(self, generator: Generator, n_frames: int) -> Sequence[AnnotatedPiece]:
        """UserError for pieces of another model, longer than its clips, and where nothing returns."""
        assert self.opened is not None
        pieces = self.opened.load(self.n, generator)
        for piece in pieces:
            least, most = int(piece.codes.min()), int(piece.codes.max())
            if len(piece.codes) != generator.n_codebooks or not 0 <= least <= most < generator.card:
                raise UserError(
                    f"piece '{piece.name}' has {len(piece.codes)} codebooks with tokens {least} to {most}, the model "
                    f"{generator.n_codebooks} with 0 to {generator.card - 1}: these are pieces of another model"
                )
            if piece.n_frames > n_frames:
                raise UserError(
                    f"piece '{piece.name}' has {piece.n_frames} frames, a clip {n_frames}: use "
                    f"duration={piece.n_frames / generator.frame_rate:g} or more"
                )
        if not any(section.kind.returns for piece in pieces for section in piece.sections):
            raise UserError(f"nothing returns in the {len(pieces)} pieces: use others, or raise n_pieces")
        return pieces


@stored
@dataclass(frozen=True)
class HeadScores:
    """Where every head of self-attention looks along the pieces, and what it writes (see `head_scores`).

    ``recent``: positions that count as the last few.
    """

    made: ClassVar[int] = 2
    pieces: PieceSet
    recent: int


@stored
@dataclass(frozen=True)
class PieceMean:
    """The mean of a hook's value over all positions of the pieces that heads are found on."""

    scores: HeadScores

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (self.scores,)


@stored
@dataclass(frozen=True)
class ReturnDirection:
    """The mean of a hook's value at steps that draw returns, less that at steps that draw new sections; of the pieces
    that heads are found on."""

    scores: HeadScores

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (self.scores,)


@stored
@dataclass(frozen=True)
class HeadSet:
    """Heads of self-attention: those given, in their order, or (none given) the highest scores on the pieces that
    heads are found on."""

    given: tuple[tuple[int, int], ...] = ()


@stored
@dataclass(frozen=True)
class FeatureSet:
    """Features of an SAE at a hook, in the order given; controls are features that fire about as often."""

    sae: Dictionary
    firing: Firing
    given: tuple[int, ...]

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for_sae(self.sae), self.firing)


@stored
@dataclass(frozen=True)
class AlongReturns:
    """The direction of returns (`ReturnDirection`) in the residual stream after a layer."""

    layer: int


Candidates = HeadSet | FeatureSet | AlongReturns


@stored
@dataclass(frozen=True)
class Condition:
    """What is done to a run. ``role``: unedited, found, random, local, all (heads at once). ``size``: heads (or
    features) at once; ``draw``: which of the random sets. ``how``: mean, zero, patch, or the factor that it is scaled
    by."""

    role: str = "unedited"
    size: int = 0
    draw: int = 0
    how: str = ""


@stored
@dataclass(frozen=True)
class Study:
    """What conditions have in common: pieces and their scores, what is edited, in which guidance half."""

    scores: HeadScores
    candidates: Candidates
    half: Half = Half.both


@stored
@dataclass(frozen=True)
class Arcs:
    """Attention of a condition's heads from beat to beat, along the first ``n`` pieces that are tested on (see
    `mech_music.structure.causes.arcs`)."""

    study: Study
    condition: Condition
    n: int


@stored
@dataclass(frozen=True)
class Forced:
    """Nats a token along the pieces that are tested on, under a condition, by kind of section.

    ``guidance``: of the distribution, 1 for the conditional one. ``settle``: beats of a section that do not count.
    """

    made: ClassVar[int] = 2
    study: Study
    condition: Condition
    guidance: float
    settle: int


@stored
@dataclass(frozen=True)
class Restored:
    """How likely returns are when their source is another piece's music, and some heads still have what they had with
    the true one (`mech_music.structure.causes.restoring`)."""

    made: ClassVar[int] = 2
    study: Study
    condition: Condition
    guidance: float
    settle: int


@stored
@dataclass(frozen=True)
class Continued:
    """What the model makes of a return when it is to write it itself (`mech_music.structure.causes.continuing`)."""

    made: ClassVar[int] = 2
    study: Study
    condition: Condition
    seed: int
