"""Where configs lie (the project's own in a checkout and in a wheel, and the user's), and where a run's files go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from mech_music.base.errors import UserError, unknown

_PACKAGE = Path(__file__).parents[1]
_GIVEN: list[Path] = []


def _carried(name: str) -> Path:
    """A top-level folder of the checkout, which the wheel carries inside the package."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def package_folder(name: str) -> str:
    """A folder within the package, as a config names it: ``${package:tiny/planted/layer3}``."""
    return str(_PACKAGE / name)


def conf_dir() -> Path:
    """The project's own Hydra config folder (``conf/``)."""
    return _carried("conf")


def experiments_dir() -> Path:
    """The folder of composed studies (``experiments/``)."""
    return _carried("experiments")


@contextmanager
def also_in(folder: Path | None) -> Iterator[None]:
    """Within, configs are looked for in the user's ``folder`` as well: for what Hydra does not compose.

    UserError if it is no folder.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(f"no folder '{folder}': --config-dir is a folder with task/, technique/, metric/ … in it")
    _GIVEN.extend([folder.resolve()] if folder else [])
    try:
        yield
    finally:
        del _GIVEN[len(_GIVEN) - bool(folder) :]


def config_folders() -> list[Path]:
    """``conf/``, and what the user adds to Hydra's search path (``--config-dir <folder>``).

    Known while Hydra composes, and inside a job under every launcher; `also_in` serves the other commands.
    """
    hydra, searched = GlobalHydra.instance().hydra, []
    if hydra is not None:
        searched += [(source.scheme(), source.path) for source in hydra.config_loader.get_sources()]
        if HydraConfig.initialized():
            searched += [(source.schema, source.path) for source in HydraConfig.get().runtime.config_sources]
    found = [Path(path) for scheme, path in searched if scheme == "file" and Path(path).is_dir()]
    return list(dict.fromkeys([conf_dir(), *_GIVEN, *found]))


def options(group: str) -> list[str]:
    """The names that can be chosen for a config group, for instance ``technique``."""
    return sorted({file.stem for folder in config_folders() for file in (folder / group).glob("*.yaml")})


def find_config(group: str, name: str) -> Path:
    """The YAML of one option of a group, the project's own first, as Hydra finds it. UserError if there is none."""
    for folder in config_folders():
        if (path := folder / group / f"{name}.yaml").is_file():
            return path
    raise UserError(unknown(group, name, options(group)))


def experiments() -> list[str]:
    """The composed studies, for instance ``velez2024/fig4``."""
    folders = [experiments_dir(), *(folder / "experiment" for folder in config_folders()[1:])]
    return sorted(str(file.relative_to(f).with_suffix("")) for f in folders for file in f.rglob("*.yaml"))


def default_store_dir() -> Path:
    """Where outcomes are kept when the config does not say: the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MECH_MUSIC_STORE") or cache / "mech_music" / "store")


def new_folder(path: str) -> str:
    """Make a folder that was not there before: ``path``, or ``path_1``, ``path_2``, … if another run has that name.

    Where no folder can be made the path is returned as it is: who writes to it then will say why not.
    """
    with suppress(OSError):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        folder = Path(f"{path}_{number}" if number else path)
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except OSError:
            return path
        else:
            return str(folder)
