"""The feature browser's options on the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mech_music.base.errors import UserError


@dataclass
class BrowserConfig:
    """The feature browser: ``features`` of each SAE with sound (the first by score; 0: no browser), each with its
    ``strongest`` clips and some ``median`` and ``random`` ones. Of the first ``steered``, a random clip is made again
    with the feature added at ``strengths`` (α, in largest activations) and erased."""

    features: int = 100
    strongest: int = 6
    median: int = 2
    random: int = 2
    steered: int = 0
    strengths: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])

    def check(self) -> None:
        """UserError for the first value that makes no sense."""
        for key, least in (("features", 0), ("strongest", 1), ("median", 0), ("random", 0), ("steered", 0)):
            if (value := getattr(self, key)) < least:
                raise UserError(f"browser.{key}={value}: expected {least} or more")
        if self.steered > self.features:
            raise UserError(f"browser.steered={self.steered}: expected at most browser.features, {self.features}")
        if self.steered and not (self.random and self.strengths):
            raise UserError("browser.steered needs browser.random=1 or more, and one of browser.strengths")
        if bad := [one for one in self.strengths if not (math.isfinite(one) and one != 0)]:
            raise UserError(f"browser.strengths={bad[0]:g}: expected finite numbers other than 0")
