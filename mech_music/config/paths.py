"""Where the project's own files lie, in a checkout and in an installed wheel."""

import os
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
