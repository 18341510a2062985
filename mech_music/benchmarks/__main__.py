"""The command: ``python -m mech_music.benchmarks [only=decode,edits] [quick=true] [rounds=5]``."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError, unknown
from mech_music.benchmarks.config import CARD, NAMES, BenchmarksConfig, keys, register, validate
from mech_music.cli.explain import explain, fail
from mech_music.config.paths import conf_dir

log = logging.getLogger(__name__)


def run(config: BenchmarksConfig, folder: Path) -> None:
    """Measure, save the table after each benchmark, and print it. UserError, at the end, names those that failed."""
    validate(config)
    import torch
    from rich.console import Console

    from mech_music.benchmarks.bench import Bench
    from mech_music.benchmarks.machine import describe
    from mech_music.benchmarks.table import Report
    from mech_music.models.musicgen.loading import pick_device

    device, threads = pick_device(config.device), config.plain_threads or torch.get_num_threads()
    report, failed = Report(describe(device, threads)), []
    with tempfile.TemporaryDirectory(prefix="mech_music-") as scratch:
        bench = Bench(config, device, Path(scratch), threads)
        for name in (name for name in (*NAMES, *CARD) if name in (config.only or NAMES)):
            log.info("%s", name)
            try:
                report.lines += importlib.import_module(f"mech_music.benchmarks.{name}").run(bench)
            except Exception as error:
                log.error("%s failed: %s", name, explain(error), exc_info=not isinstance(error, UserError))
                failed.append(name)
            report.save(folder)
            if config.page:
                report.save_page(
                    Path(config.page), torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
                )
    Console(width=None if sys.stdout.isatty() else 200).print(report.rich())
    log.info("saved as %s and .md", folder / "benchmarks.json")
    if failed:
        raise UserError(f"failed: {', '.join(failed)}, for the reasons above; the others are in the table")


def _app(config: DictConfig) -> None:
    typed = OmegaConf.to_object(config)
    assert isinstance(typed, BenchmarksConfig)
    logging.getLogger("audiocraft").setLevel(logging.WARNING)
    try:
        run(typed, Path(HydraConfig.get().runtime.output_dir))
    except UserError as error:  # Hydra would add a line of its own
        fail(explain(error))


def _for_hydra(word: str) -> str:
    """The two short forms: ``only=a,b`` would be a sweep of two jobs to Hydra; ``quick=true`` is ``size=quick``."""
    key, _, value = word.partition("=")
    if key == "only" and not value.startswith("["):
        return f"only=[{value}]"
    return {"quick=true": "size=quick", "quick=false": "size=full"}.get(word, word)


def main() -> None:
    """Entry point. Exits 0, or 1 with one line that says why."""
    register()
    sys.argv[1:] = [_for_hydra(word) for word in sys.argv[1:]]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a mistake in several lines
    try:
        hydra.main(config_path=str(conf_dir() / "benchmarks"), config_name="config", version_base="1.3")(_app)()
    except KeyboardInterrupt:
        fail("stopped; what was finished is in the table of its output folder", 130)
    except Exception as error:
        fail(_reason(error))


def _reason(error: Exception) -> str:
    mistyped = re.search(r"Could not override '([^'.]*)'", str(error))
    return unknown("key", mistyped[1], keys()) if mistyped else explain(error)


if __name__ == "__main__":
    main()
