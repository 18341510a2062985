"""Which features are worth a look: a rule that is data, and part of the result.

In order: the share of clips that a feature fires in (Singh et al.: 1 to 25 % of tracks), how much of its firing its
place in the clip decides, and, where sound was listened to, how far it follows loudness and how much of it is in
silence. A feature is dropped by the first that it does not meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mech_music.base.errors import UserError

FIRES: dict[str, float] = {"fires_at_all": 0.0, "fires_in_5_percent": 0.05}
"""A clip counts where the feature fires in more than this share of its steps."""


@dataclass
class FilterConfig:
    """``fires``: what counts as firing in a clip. ``least`` and ``most``: shares of clips. ``position``: the most of a
    feature's variance over steps that its place in the clip may decide, above chance. ``loudness``: its highest
    correlation with the sound's level, either way; ``silence``: the most of its firing that may be in silence."""

    fires: str = "fires_in_5_percent"
    least: float = 0.01
    most: float = 0.25
    position: float = 0.05
    loudness: float = 0.5
    silence: float = 0.5

    def check(self, name: str) -> None:
        """UserError for the first value that makes no sense."""
        if self.fires not in FIRES:
            raise UserError(f"{name}.fires={self.fires}: expected one of {', '.join(FIRES)}")
        if not 0 <= self.least <= self.most <= 1:
            raise UserError(f"{name}.least={self.least:g} and most={self.most:g}: expected 0 <= least <= most <= 1")
        for key in ("position", "loudness", "silence"):
            if not 0 <= (value := getattr(self, key)) <= 1:
                raise UserError(f"{name}.{key}={value:g}: expected 0 to 1")


def position(by_step: Float[np.ndarray, "step feature"]) -> Float[np.ndarray, " feature"]:
    """The share of the variance of firing (yes or no, over clips and steps) that lies between steps: 0 for a feature
    that fires at all steps alike, 1 for one that fires at given steps in every clip; NaN for one that never fires."""
    rate = by_step.mean(0, dtype=float)
    variance = rate * (1 - rate)
    found = by_step.var(0, dtype=float)
    return np.divide(found, variance, out=np.where(rate > 0, 0.0, np.nan), where=variance > 1e-12)


def dropped_by(rule: FilterConfig, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """For each feature the part of the rule that drops it: ``never fires``, ``tracks``, ``position``, ``loudness``,
    ``silence``; empty for one that is kept. ``columns``: as `features.csv` has them; loudness and silence may lack."""
    share = columns[rule.fires]
    misses = {
        "never fires": columns["fires_at_all"] <= 0,
        "tracks": (share < rule.least) | (share > rule.most),
        "position": columns["position"] - columns["position_null"] > rule.position,
    }
    if "loudness" in columns:
        misses["loudness"] = np.abs(columns["loudness"]) > rule.loudness
        misses["silence"] = columns["silence"] > rule.silence
    return np.select(list(misses.values()), list(misses), default="")
