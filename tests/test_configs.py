"""Everything in conf/ and experiments/ composes, makes sense, and plans some clips."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from mech_music.cli.validation import validate
from mech_music.config.paths import experiments, experiments_dir, options
from mech_music.config.schema import RunConfig
from mech_music.tasks.registry import task_of
from tests.composing import compose_run

GROUPS = {"model": "", "classifier": "", "technique": "", "lens": "task=decoder_lens", "logger": "", "task": ""}


def planned(run: RunConfig) -> int:
    return len(task_of(run).plan(run))


@pytest.mark.parametrize(
    "choice", [f"{group}={name} {task}" for group, task in GROUPS.items() for name in options(group)]
)
def test_every_option(choice: str) -> None:
    notes = choice.startswith("task=continue")  # it has no layers, and continues notes
    more = ["model=symbolic-tiny"] if notes else ["layer='0,last'"]
    run = compose_run(*choice.split(), "prompts=2", *more)
    validate(run)
    assert planned(run) > 0


@pytest.mark.parametrize("experiment", experiments())
def test_every_experiment(experiment: str) -> None:
    run = compose_run(f"experiment={experiment}", "prompts=2", "layer='0,last'")
    validate(run)
    assert planned(run) > 0


@pytest.mark.parametrize("experiment", experiments())
def test_what_an_experiment_says_holds(experiment: str) -> None:
    """Its plain values win over the defaults of ``config.yaml``."""
    written = OmegaConf.load(experiments_dir() / f"{experiment}.yaml")
    run = compose_run(f"experiment={experiment}")
    plain = OmegaConf.to_container(written)
    assert isinstance(plain, dict)
    said = {key: value for key, value in plain.items() if key not in ("defaults", "hydra")}
    assert {key: getattr(run, str(key)) for key in said} == said
    assert said


@pytest.mark.parametrize("experiment", experiments())
def test_every_experiment_says_its_command(experiment: str) -> None:
    text = (experiments_dir() / f"{experiment}.yaml").read_text()
    assert f"#   python -m mech_music.run experiment={experiment}\n" in text


@pytest.mark.parametrize("experiment", experiments())
def test_every_sweep_of_an_experiment(experiment: str) -> None:
    """Each value of its axes composes; ``hydra.sweeper.params`` is not looked at when one job is composed."""
    written = OmegaConf.load(experiments_dir() / f"{experiment}.yaml")
    for axis, values in (OmegaConf.select(written, "hydra.sweeper.params") or {}).items():
        for value in str(values).split(","):
            validate(compose_run(f"experiment={experiment}", f"{axis}={value}"))
