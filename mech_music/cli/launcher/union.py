"""Under launchers that run each job apart (Hydra's own: submitit, joblib, basic), every job knows the whole sweep.

A job first helps to make the union of all jobs' clips, in common passes that they share by claims, then it is scored:
jobs that run at the same time divide the work, and one that comes later finds it done.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

import mech_music
from mech_music.base.errors import UserError
from mech_music.cli.launcher.composer import Composer
from mech_music.cli.validation import validate
from mech_music.config.schema import RunConfig
from mech_music.tasks.registry import as_run


class WithUnion:
    """A task function that makes the union first. It travels to where the job runs.

    Attributes:
        arguments: the sweep's words, as they were given.
    """

    def __init__(self, function: TaskFunction, context: HydraContext, config: DictConfig) -> None:
        self._function, self._context, self._config = function, context, config
        self.arguments: Sequence[str] = ()

    def __call__(self, cfg: DictConfig) -> Any:
        try:
            own = as_run(cfg)
            validate(own)
        except UserError:
            return self._function(cfg)  # which says it
        if not (done := self._done(own)).exists():
            runs = [run for run in self._runs() if alike(run) == alike(own)]
            if len(runs) > 1:
                from mech_music.cli.job import prefetch

                if prefetch(runs):
                    done.parent.mkdir(exist_ok=True)
                    done.touch()
        return self._function(cfg)

    def _done(self, own: RunConfig) -> Path:
        """A file in the store that is there once the union is, so that N jobs do not plan it N times.

        Only a saving: whatever is missing in spite of it a job makes itself.
        """
        from mech_music.engine.opening import open_store

        asked = (list(self.arguments), OmegaConf.to_yaml(self._config), alike(own), mech_music.__version__)
        return open_store(own).place / "unions" / sha256(repr(asked).encode()).hexdigest()[:24]

    def _runs(self) -> list[RunConfig]:
        """Every job of the sweep that makes sense."""
        composer, found = Composer(self._context.config_loader, self._config), []
        parsed = OverridesParser.create(config_loader=self._context.config_loader).parse_overrides(list(self.arguments))
        for batch in BasicSweeper.split_arguments(parsed, None):
            for overrides in batch:
                try:
                    run = as_run(composer(overrides))
                    validate(run)
                except Exception:
                    continue  # that job says it
                found.append(run)
        return found


def alike(run: RunConfig) -> str:
    """What jobs agree on that share an engine."""
    return repr((run.model, run.classifier, run.sampling, run.duration, run.engine))
