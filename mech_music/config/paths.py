"""Where the project's own files lie, in a checkout and in an installed wheel, and where those of a run go."""

import os
from contextlib import suppress
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def _carried(name: str) -> Path:
    """A top-level folder of the checkout, which the wheel carries inside the package."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def conf_dir() -> Path:
    """The Hydra config folder (``conf/``)."""
    return _carried("conf")


def experiments_dir() -> Path:
    """The folder of composed studies (``experiments/``)."""
    return _carried("experiments")


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
