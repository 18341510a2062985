"""A sweep's jobs are composed quickly, and exactly as Hydra composes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mech_music.cli import launcher
from mech_music.cli.launcher.composer import Composer
from mech_music.config.paths import conf_dir
from mech_music.config.schema import RunConfig
from mech_music.tasks.registry import as_run, register
from tests.composing import compose_run

register()
launcher.install()

SWEEPS = {
    "values": [["strength=1", "layer=last"], ["strength=2.5", "layer=all"], ["layer='0,5'", "pair=jazz-rock"]],
    "files": [["technique=adjust", "strength=2"], ["model=small", "prompts=3"], ["technique=steer", "strength=0"]],
    "overrides of Hydra": [["hydra.sweep.dir=elsewhere", "seed=1"], ["seed=2"]],
    "an experiment": [["experiment=velez2024/fig4", "model=tiny", "prompts=2"], ["experiment=velez2024/fig5"]],
    "nested, lists, nothing": [["sampling.top_k=5", "controls=[self]"], ["controls=[]", "engine.store=null"], []],
    "added and removed": [["+technique.shift.original=0.5"], ["~technique.shift.desired"], ["++seed=4"]],
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
def test_equals_hydras_own(hydras: tuple[ConfigLoader, DictConfig], sweep: str) -> None:
    loader, master = hydras
    composer = Composer(loader, master)
    for overrides in SWEEPS[sweep] * 2:  # the second time from what was read
        expected = loader.load_sweep_config(master, list(overrides))
        assert OmegaConf.to_yaml(composer(overrides)) == OmegaConf.to_yaml(expected)


@pytest.mark.parametrize("override", ["strenth=1", "component=mpl", "technique=replce", "prompts=many"])
def test_a_mistake_raises_what_hydra_raises(hydras: tuple[ConfigLoader, DictConfig], override: str) -> None:
    loader, master = hydras
    with pytest.raises(Exception) as expected:
        loader.load_sweep_config(master, [override])
    with pytest.raises(type(expected.value)) as raised:
        Composer(loader, master)([override])
    assert str(raised.value) == str(expected.value)


MISTAKES = ["strenth=1", "component=mpl", "technique=replce", "prompts=many", "strength=1,2", "pair=a'", "model={a: 1}"]
COMPOSED = [*(words for jobs in SWEEPS.values() for words in jobs), *([word] for word in MISTAKES)]


@pytest.mark.parametrize("overrides", COMPOSED)
def test_the_tests_own_way_of_composing_is_hydras(overrides: list[str]) -> None:
    """`compose_run` reads files once for many tests; what it gives or raises is what Hydra does."""

    def outcome(composed: Callable[[], RunConfig]) -> object:
        try:
            return composed()
        except Exception as error:
            return type(error), str(error)

    def hydras() -> RunConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return as_run(compose("config", overrides))

    assert outcome(lambda: compose_run(*overrides)) == outcome(hydras)
