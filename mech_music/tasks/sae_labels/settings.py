"""The axes of labelling features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mech_music.base.errors import UserError
from mech_music.config.schema import IF_GIVEN
from mech_music.labels.evidence import LabelConfig
from mech_music.tasks.sae.settings import SaeSiteSettings


@dataclass
class SaeLabelsSettings(SaeSiteSettings):
    """Which features of ``sae`` are labelled (``labels``), and who labels them (``labeller``: its ``_target_``, its
    name, and settings of its own)."""

    labels: LabelConfig = field(default_factory=LabelConfig)
    labeller: dict[str, Any] = field(default=MISSING, metadata=IF_GIVEN)

    def check(self) -> None:
        super().check()
        own = self.labels
        for key, least in (("strongest", 1), ("contrast", 1), ("features", 0)):
            if (value := getattr(own, key)) < least:
                raise UserError(f"labels.{key}={value}: expected {least} or more")
        if not 0 <= own.share < 1:
            raise UserError(f"labels.share={own.share:g}: expected a share of a clip's steps, from 0 to below 1")
        if len(own.tracks) != 2:
            raise UserError(f"labels.tracks={own.tracks}: expected two shares, such as [0.01, 0.25]")
        if not 0 <= own.kept[0] < own.kept[1] <= 1:
            raise UserError(f"labels.tracks={list(own.kept)}: expected two shares, the smaller first, from 0 to 1")
        from mech_music.labels.registry import open_labeller

        _ = open_labeller(self.labeller, self)

    def told_apart(self) -> list[str]:
        return ["sae_labels", str(self.labeller.get("name")), f"layer {self.layer}"]
