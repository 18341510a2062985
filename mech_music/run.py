"""The command line: ``python -m mech_music.run`` (or ``mech-music``); ``--help`` explains it.

Only light modules are imported here, so that help and mistakes are answered at once; the work is in `cli.job`.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mech_music.base.errors import Refused, UserError
from mech_music.cli import launcher
from mech_music.cli.explain import explain, fail, is_known
from mech_music.cli.foreign import for_several_tasks, of_another_task
from mech_music.config.paths import conf_dir
from mech_music.results.sweep import Done, Failed, record_failure, remove_new, remove_results
from mech_music.tasks.registry import as_run, register

log = logging.getLogger(__name__)
INTERRUPTED = "stopped; every finished clip is kept: give the same command again to continue"


def main() -> None:
    """Run the command line. Exits 0, 1 (a failure: one line on stderr says which), or 130 (interrupted)."""
    register()
    launcher.install()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra would print a mistake in several lines, or with a traceback; raised, it is explained in one here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv[1:] = for_several_tasks(sys.argv[1:])
        hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(job)()
    except KeyboardInterrupt:
        fail(INTERRUPTED, 130)
    except Exception as error:
        if wants_traceback:
            raise
        error = of_another_task(error, sys.argv[1:])
        fail(explain(error) + ("" if is_known(error) else " (HYDRA_FULL_ERROR=1 shows the traceback)"))


def job(cfg: DictConfig) -> Done | Failed:
    """One job, as Hydra calls it. In a sweep a failure is its result; alone, it ends the program."""
    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    try:
        remove_results(folder)
        try:
            run = as_run(cfg)
        except UserError as error:
            raise Refused(str(error)) from error
        from mech_music.cli.job import perform

        return perform(run, folder, sweep="/".join(folder.parent.parts[-2:]) if in_sweep else None)
    except Exception as error:
        reason = explain(error)
        if isinstance(error, Refused) and not in_sweep:
            remove_new(folder)
            fail(reason)
        if not is_known(error):
            log.info("the job failed", exc_info=error)  # the file, not the screen
            reason += f" (traceback in {folder / hydra_cfg.job.name}.log)"
        failed = record_failure(folder, reason)
        if in_sweep:
            return failed
        fail(reason)


if __name__ == "__main__":
    main()
