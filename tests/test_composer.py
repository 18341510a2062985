"""A sweep's jobs are composed quickly, and exactly as Hydra composes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mech_music.cli import launcher
from mech_music.cli.launcher.composer import Composer
from mech_music.config.paths import conf_dir
from mech_music.tasks.registry import register
from tests.composed_once import compose_once

register()
launcher.install()

SWEEPS = {
    "values": [["strength=1", "layer=last"], ["strength=2.5", "layer=all"], ["layer='0,5'", "pair=jazz-rock"]],
    "files": [["technique=adjust", "strength=2"], ["model=small", "prompts=3"], ["technique=steer", "strength=0"]],
    "overrides of Hydra": [["hydra.sweep.dir=elsewhere", "seed=1"], ["seed=2"]],
    "an experiment": [["experiment=velez2024/fig4", "model=tiny", "prompts=2"], ["experiment=velez2024/fig5"]],
    "nested, lists, nothing": [["sampling.top_k=5", "controls=[self]"], ["controls=[]", "engine.store=null"], []],
    "added and removed": [["+technique.shift.original=0.5"], ["~technique.shift.desired"], ["++seed=4"]],
    "a choice of Hydra's": [["hydra/launcher=basic", "seed=1", "hydra.run.dir=x"], ["hydra.mode=MULTIRUN"]],
    "not set": [["classifier.path=somewhere"], ["logger=none", "logger.tags=[a,b]"]],
}


@pytest.fixture
def hydras() -> Iterator[tuple[ConfigLoader, DictConfig]]:
    """Hydra's own loader, and a sweep's master config."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader, hydra.config_loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_equals_hydras_own(
    hydras: tuple[ConfigLoader, DictConfig], sweep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep's composer, and what tests compose with (`tests.composed_once`)."""
    loader, master = hydras
    composer = Composer(loader, master)
    expected = [OmegaConf.to_yaml(loader.load_sweep_config(master, [*overrides])) for overrides in SWEEPS[sweep]]
    for _ in range(2):  # the second time from what was read
        assert [OmegaConf.to_yaml(composer(overrides)) for overrides in SWEEPS[sweep]] == expected
    compose_once(monkeypatch)
    for _ in range(2):
        found = [OmegaConf.to_yaml(loader.load_sweep_config(master, [*overrides])) for overrides in SWEEPS[sweep]]
        assert found == expected


@pytest.mark.parametrize(
    "override", ["strenth=1", "component=mpl", "technique=replce", "prompts=many", "model={a: 1}", "a=1,2", "pair=a'"]
)
def test_a_mistake_raises_what_hydra_raises(
    hydras: tuple[ConfigLoader, DictConfig], override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader, master = hydras
    with pytest.raises(Exception) as expected:
        loader.load_sweep_config(master, [override])
    if override not in ("a=1,2", "pair=a'"):  # the sweeper gives a job no such words
        with pytest.raises(type(expected.value)) as raised:
            Composer(loader, master)([override])
        assert str(raised.value) == str(expected.value)
    compose_once(monkeypatch)
    with pytest.raises(type(expected.value)) as raised:
        loader.load_sweep_config(master, [override])
    assert str(raised.value) == str(expected.value)


def test_a_sweeps_own_config_is_hydras(
    hydras: tuple[ConfigLoader, DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is swept, be it a file or a value, left to the jobs."""
    words = ["component=mlp,ca", "technique=steer,adjust", "seed=1", "hydra/launcher=basic", "hydra.sweep.dir=x"]
    expected = hydras[0].load_configuration("config", words, RunMode.MULTIRUN)
    compose_once(monkeypatch)
    found = hydras[0].load_configuration("config", words, RunMode.MULTIRUN)
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
