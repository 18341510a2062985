"""The axes of forecasts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import NEVER, RunConfig, StatisticsConfig
from mech_music.models.hooks import Component, Hook
from mech_music.structure.forecast.named import Acoustics, Annotated, AtBeats, Given, Sight
from mech_music.structure.forecast.probes import Probe
from mech_music.structure.forecast.rows import Clock
from mech_music.structure.verdict import NULL


@dataclass
class ProbeConfig:
    """See `mech_music.structure.forecast.probes.Probe`."""

    folds: int = 5
    inner: int = 3
    components: int = 0
    seed: int = 0


@dataclass
class HorizonSettings(RunConfig):
    """Which activations (``component``, ``layer``) of which ``pieces`` forecast returns how far ahead.

    ``pieces``: their ``_target_``, their name, and settings of their own; ``n_pieces`` of them are read. ``horizons``:
    null for the usual ones. ``window``: seconds that the local and the acoustic control know. ``causal``: the output
    folder of a run of ``task=ablate_structure``, whose criteria the verdict then has.
    """

    component: Component = Component.resid
    layer: str = "all"
    pieces: dict[str, Any] = MISSING
    n_pieces: int = 360
    horizons: list[float] | None = None
    horizons_in: Clock = Clock.seconds
    window: float = 2.0
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    timelines: int = field(default=1, metadata=NEVER)  # decides no number
    causal: str = field(default="", metadata=NEVER)  # nor does it
    statistics: StatisticsConfig = field(default_factory=lambda: StatisticsConfig(equivalence=NULL))

    def check(self) -> None:
        check_component(self.component, self.model)
        _ = self.layers, self.given
        self.fitting.check()
        if self.n_pieces < self.probe.folds:
            raise UserError(f"n_pieces={self.n_pieces}: expected as many as probe.folds={self.probe.folds}, or more")
        if self.causal:
            from mech_music.structure.causes.causality import read_criteria

            read_criteria(self.causal, self.model.name, self.given.id)
        if self.timelines < 0:
            raise UserError(f"timelines={self.timelines}: expected 0 or more")
        if not (math.isfinite(self.window) and self.window_frames >= 1):
            raise UserError(
                f"window={self.window:g}: expected one frame ({1 / self.model.frame_rate:g} s) of the model or more"
            )
        for one in self.horizons or ():
            whole = self.horizons_in is Clock.seconds or one == round(one)
            if not (math.isfinite(one) and one > 0 and whole):
                kind = "numbers" if self.horizons_in is Clock.seconds else "whole numbers"
                raise UserError(f"horizons: {one:g} {self.horizons_in}; expected {kind} above 0")
        if self.horizons is not None and not self.horizons:
            raise UserError("horizons=[]: name some, or null for the usual ones")

    @property
    def layers(self) -> list[int]:
        """The layers that are read."""
        return single_layers(self.layer, self.model.layers)

    @property
    def window_frames(self) -> int:
        """Frames of the window."""
        return round(self.window * self.model.frame_rate)

    @property
    def fitting(self) -> Probe:
        """How probes are fitted."""
        return Probe(self.probe.folds, self.probe.inner, self.probe.components, self.probe.seed)

    @property
    def given(self) -> Given:
        """The pieces. UserError for a class or a setting that does not exist."""
        from mech_music.structure.pieces.registry import open_pieces

        pieces = open_pieces(self.pieces, self)
        return Given(pieces.id, self.n_pieces, pieces)

    @property
    def annotated(self) -> Annotated:
        """The pieces with their horizons, those that are named sorted."""
        horizons = tuple(sorted({float(one) for one in self.horizons or ()}))
        return Annotated(self.given, horizons, self.horizons_in, self.window_frames)

    def at_beats(self, layer: int, sight: Sight) -> AtBeats:
        """Activations of one layer."""
        window = self.window_frames if sight is Sight.local else 0
        seed = self.probe.seed if sight is Sight.untrained else 0
        return AtBeats(self.given, Hook(layer, self.component.point).name, sight, window, seed)

    @property
    def acoustics(self) -> Acoustics:
        """What the window sounds like."""
        return Acoustics(self.given, self.window_frames)

    def told_apart(self) -> list[str]:
        return [self.component.value, "horizon", str(self.pieces.get("name")), f"layer {self.layer}"]
