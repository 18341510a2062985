"""Versions of the software at work: this package's own stands in ``mech_music.__version__``, and only there."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import mech_music


def installed_versions(packages: Iterable[str]) -> list[tuple[str, str]]:
    """``mech_music`` and its version, then each package with its own, or ``not installed``."""
    return [("mech_music", mech_music.__version__), *((name, _installed(name)) for name in packages)]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
