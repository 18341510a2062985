"""Train musicgen-tiny from nothing: `python -m mech_music.tiny.train` (or `make tiny`).

Stages that are done are skipped, an unfinished one continues, and the same seed ends in the same weights.
"""

import os

# One thread a process is the recipe; two that wait by spinning are five times slower beside another busy process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
from omegaconf import DictConfig

from mech_music.config.paths import conf_dir
from mech_music.tiny import stages
from mech_music.tiny.config import StageName, TinyConfig, register
from mech_music.tiny.workspace import Workspace

_RUNNERS: dict[str, str] = {
    StageName.corpus: "mech_music.tiny.data.run",
    StageName.codec: "mech_music.tiny.codec.run",
    StageName.codes: "mech_music.tiny.codec.run_codes",
    StageName.mels: "mech_music.tiny.classifier.run_mels",
    StageName.classifier: "mech_music.tiny.classifier.run",
    StageName.language_model: "mech_music.tiny.language_model.run",
    StageName.bundle: "mech_music.tiny.bundle.run",
    StageName.planted: "mech_music.tiny.planted.run",
}


def _check(config: TinyConfig) -> None:
    corpus = config.corpus
    numbers = {"threads": config.threads, "corpus.train": corpus.train, "corpus.held_out": corpus.held_out}
    loops = {section: getattr(config, section).loop for section in ("codec", "classifier", "language_model")}
    loops |= {f"planted.circuits.{name}": circuit.loop for name, circuit in config.planted.circuits.items()}
    for section, loop in loops.items():
        numbers |= {f"{section}.loop.steps": loop.steps, f"{section}.loop.batch": loop.batch}
    stages.check_numbers(numbers)


def run(config: TinyConfig) -> None:
    """Run the wanted stages in order. Raises UserError for a folder of another config or a corrupt file."""
    _check(config)
    stages.make_deterministic(config.threads)
    always = (StageName.bundle, StageName.planted)
    stages.run_stages(Workspace(config), _RUNNERS, config.stages, always)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "tiny"), config_name="train")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, TinyConfig)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
