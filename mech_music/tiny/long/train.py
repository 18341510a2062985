"""Train musicgen-tiny-long from nothing: `python -m mech_music.tiny.long.train` (or `make tiny-long`).

Stages that are done are skipped, an unfinished one continues, and the same seed ends in the same weights.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
from omegaconf import DictConfig

from mech_music.config.paths import conf_dir
from mech_music.tiny import stages
from mech_music.tiny.long.config import LongConfig, StageName, register

_RUNNERS: dict[str, str] = {
    StageName.corpus: "mech_music.tiny.long.data.run_corpus",
    StageName.codec: "mech_music.tiny.long.data.run_codec",
    StageName.codes: "mech_music.tiny.long.data.run_codes",
    StageName.loops: "mech_music.tiny.long.loops.run",
    StageName.language_model: "mech_music.tiny.long.language_model.run",
    StageName.refined: "mech_music.tiny.long.language_model.run_refined",
    StageName.told: "mech_music.tiny.long.language_model.run_told",
    StageName.forms: "mech_music.tiny.long.arranged.run",
    StageName.corrected: "mech_music.tiny.long.arranged.run_corrected",
    StageName.bundle: "mech_music.tiny.long.bundle.run",
    StageName.short: "mech_music.tiny.long.short.run",
}


def run(config: LongConfig) -> None:
    """Run the wanted stages in order. Raises UserError for a folder of another config or a corrupt file."""
    _check(config)
    stages.make_deterministic(config.threads)
    from mech_music.tiny.long.data import Workspace

    stages.run_stages(Workspace(config), _RUNNERS, config.stages, always=(StageName.bundle,))


def _check(config: LongConfig) -> None:
    numbers = {"threads": config.threads, "pieces.train": config.pieces.train, "pieces.audio": config.pieces.audio}
    for section in ("codec", "language_model", "forms", "corrected"):
        loop = getattr(config, section).loop
        numbers |= {f"{section}.loop.steps": loop.steps, f"{section}.loop.batch": loop.batch}
    stages.check_numbers(numbers)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "tiny"), config_name="long")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, LongConfig)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
