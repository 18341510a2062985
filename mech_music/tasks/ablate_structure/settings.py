"""The axes of finding out what carries returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mech_music.base.errors import UserError, unknown
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import IF_GIVEN, NEVER, RunConfig, StatisticsConfig
from mech_music.edits.row import Half
from mech_music.models.hooks import Component, Hook
from mech_music.saes.named import Firing
from mech_music.saes.settings import SaeConfig, check_sae_config, named_by, trained_on
from mech_music.structure.causes.conditions import (
    AlongReturns,
    Arcs,
    Candidates,
    Condition,
    Continued,
    FeatureSet,
    Forced,
    HeadScores,
    HeadSet,
    PieceSet,
    Restored,
    Study,
)
from mech_music.structure.causes.heads import factor_of, parse_heads
from mech_music.structure.pieces.registry import open_pieces


@dataclass
class AblateStructureSettings(RunConfig):
    """What is edited in the first ``n_pieces`` of ``pieces``: by default the heads that attend most to a return's
    source, on half of the tracks (drawn by ``split``); or given ``heads``, ``features`` of ``sae`` (at ``component``
    and ``layer``), or the ``direction`` of returns after that layer.

    In each of ``sizes``, edited in the first of ``ways``; with ``size`` of them in the other ways as well, and in
    generation; with up to ``size`` in patching. ``draws``: random sets. ``recent``: positions that local heads look
    at. ``settle``: beats of a section that do not count. ``guidance``: of likelihoods. ``timelines``: pieces that the
    report's page shows from beginning to end, with where the found heads look.
    """

    pieces: dict[str, Any] = field(default=MISSING)
    n_pieces: int = 60
    heads: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    size: int = 4
    ways: list[str] = field(default_factory=lambda: ["mean", "zero", "0.5", "2"])
    draws: int = 4
    recent: int = 4
    settle: int = 1
    guidance: float = 1.0
    half: Half = Half.both
    split: int = 0
    generate: bool = True
    timelines: int = field(default=3, metadata=NEVER)  # decides no number
    component: Component = Component.resid
    layer: str = "last"
    direction: str | None = field(default=None, metadata=IF_GIVEN)
    statistics: StatisticsConfig = field(default_factory=lambda: StatisticsConfig(equivalence=0.05))
    features: list[int] = field(default_factory=list, metadata=IF_GIVEN)
    sae: SaeConfig = field(default_factory=SaeConfig, metadata=IF_GIVEN)

    # -- what it stands for ----------------------------------------------------------------------------------

    @property
    def scores(self) -> HeadScores:
        """Where all heads look along the pieces."""
        opened = open_pieces(self.pieces, self)
        return HeadScores(PieceSet(opened.id, self.n_pieces, self.split, opened), self.recent)

    @property
    def edited(self) -> Candidates:
        """What is edited."""
        if self.direction is not None:
            return AlongReturns(self._layer)
        if self.features:
            hook = Hook(self._layer, self.component.point).name
            sae = named_by(self.sae, hook, self.study)
            return FeatureSet(sae, Firing(sae, hook, trained_on(self.sae, self.study)), tuple(self.features))
        return HeadSet(tuple(parse_heads(self.heads, self.model.layers, self.model.heads)))

    @property
    def _layer(self) -> int:
        layers = single_layers(self.layer, self.model.layers)
        if len(layers) > 1:
            raise UserError(f"layer={self.layer}: features and a direction are of one layer: give that one")
        return layers[0]

    @property
    def kind(self) -> str:
        """heads, features or direction."""
        return "direction" if self.direction else "features" if self.features else "heads"

    @property
    def used_sizes(self) -> list[int]:
        """Those that there are candidates for."""
        n = 1 if self.direction else len(self.features) or len(self.heads) or None
        return self.sizes if n is None else sorted({min(size, n) for size in self.sizes})

    @property
    def at(self) -> int:
        """The size at which everything is measured."""
        return min(self.size, max(self.used_sizes))

    def conditions(self, sizes: list[int], ways: list[str]) -> list[Condition]:
        """Found ones and their controls."""
        roles = ("found", "random", "local") if self.kind == "heads" else ("found", "random")
        return [
            Condition(role, size, draw, how)
            for how in ways
            for size in sizes
            for role in roles
            for draw in range(self.draws if role == "random" else 1)
        ]

    @property
    def arcs(self) -> list[Arcs]:
        """Where found heads look along single pieces; none of features and directions."""
        if self.kind != "heads" or not self.timelines:
            return []
        found = Condition("found", self.at, 0, self.ways[0])
        return [Arcs(Study(self.scores, self.edited, self.half), found, self.timelines)]

    def planned(self) -> tuple[list[Forced], list[Continued], list[Restored]]:
        """What is recorded beside the scores, the unedited run first in each."""
        study, none = Study(self.scores, self.edited, self.half), Condition()
        first, *others = self.ways
        edited = self.conditions(self.used_sizes, [first]) + self.conditions([self.at], others)
        forced = [Forced(study, one, self.guidance, self.settle) for one in (none, *edited)]
        written = [none, *self.conditions([self.at], [first])] if self.generate else []
        up_to = [size for size in self.used_sizes if size <= self.at]
        patched = [none, *self.conditions(up_to, ["patch"]), Condition("all", 0, 0, "patch")]
        return (
            forced,
            [Continued(study, one, self.seed) for one in written],
            [Restored(study, one, self.guidance, self.settle) for one in patched if self.kind == "heads"],
        )

    # -- what cannot be --------------------------------------------------------------------------------------

    def check(self) -> None:
        lists = {"sizes": self.sizes, "ways": self.ways}
        if empty := [key for key, values in lists.items() if not values]:
            raise UserError(f"{empty[0]}=[]: expected at least one")
        counts = {"sizes": min(self.sizes), "size": self.size, "draws": self.draws, "recent": self.recent}
        if wrong := [key for key, value in counts.items() if value < 1]:
            raise UserError(f"{wrong[0]}={counts[wrong[0]]}: expected 1 or more")
        if self.timelines < 0:
            raise UserError(f"timelines={self.timelines}: expected 0 or more")
        if self.n_pieces < 4:
            raise UserError(
                f"n_pieces={self.n_pieces}: expected 4 or more: heads are found on half, tested on the others"
            )
        if self.settle < 0:
            raise UserError(f"settle={self.settle}: expected 0 beats or more")
        if self.direction not in (None, "returns"):
            raise UserError(unknown("direction", str(self.direction), ("returns",)))
        for how in self.ways:
            factor_of(how)
        if self.direction and "mean" in self.ways:
            raise UserError("ways=mean: a direction is removed or scaled: use ways=[zero,0.5,2]")
        self._check_candidates()
        _ = open_pieces(self.pieces, self)

    def _check_candidates(self) -> None:
        given = [key for key in ("heads", "features", "direction") if getattr(self, key)]
        if len(given) > 1:
            raise UserError(f"{given[0]} and {given[1]} are both given: edit one of heads, features and direction")
        if self.features:
            check_component(self.component, self.model)
            check_sae_config(self.sae, self.study)
            if len(set(self.features)) < len(self.features):
                raise UserError(f"features={self.features}: a feature is named twice; name each once")
        elif self.sae.path is not None:
            raise UserError(f"sae.path={self.sae.path}: name the features of it that are edited, such as features=[3]")
        _ = self.edited
        most = self.model.layers * self.model.heads // 2
        if self.kind == "heads" and self.model.heads and max(self.used_sizes) > most:
            raise UserError(
                f"sizes={max(self.used_sizes)}: the model has {2 * most} heads, and as many others are the control; "
                f"use at most {most}"
            )

    def told_apart(self) -> list[str]:
        return ["ablate_structure", str(self.pieces.get("name")), self.kind]
