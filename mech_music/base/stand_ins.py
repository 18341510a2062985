"""Imports that wait until they are needed, for a library that imports at once what few of its users ever call.

While such a library is imported, stand-ins are in the place of the modules that are to wait. They stay in its own
namespaces, and load what they stand for on first use; every other ``import``, now or later, gives the module itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from mech_music.base.quiet import quiet_imports

_LOADING = threading.RLock()
_open: list[object] = []  # a mark for each block of `stand_ins` that is not left yet


class StandIn(ModuleType):
    """A module, or what is in one (``spacy.load``), until it is called or something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(f"{self.__name__}.{name}") if _open else getattr(_real(self), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _real(self)(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self.__name__,)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, _real(self))


def _real(stand_in: StandIn) -> Any:
    """What it stands for. Raises what importing that raises."""
    known = vars(stand_in)
    with _LOADING:
        if "real" not in known:
            with quiet_imports(), _without_stand_ins():
                known["real"] = _find(stand_in.__name__)
    return known["real"]


def _find(name: str) -> Any:
    """A module, or what the module before the last dot has of that name."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        owner, _, last = name.rpartition(".")
        if not owner or not (error.name and (name == error.name or name.startswith(f"{error.name}."))):
            raise
        return getattr(_find(owner), last)


@contextmanager
def stand_ins(names: Sequence[str]) -> Iterator[None]:
    """Within, modules of these names that are installed and not loaded yet are not loaded by an import either.

    A name stands for itself alone: ``flashy`` and ``flashy.distrib`` are two. What is imported may use them as soon as
    the block is left, and may call them within; it may not derive classes from them.
    """
    new = {name: StandIn(name) for name in names if name not in sys.modules and _is_installed(name)}
    mark = object()
    _open.append(mark)
    sys.modules.update(new)
    try:
        yield
    finally:
        _open.remove(mark)
        for name, stand_in in new.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _is_installed(name: str) -> bool:
    return find_spec(name.partition(".")[0]) is not None


@contextmanager
def _without_stand_ins() -> Iterator[None]:
    """Within, imports are what they are outside of `stand_ins`."""
    waiting = {name: module for name, module in sys.modules.items() if isinstance(module, StandIn)}
    for name in waiting:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, stand_in in waiting.items():
            sys.modules.setdefault(name, stand_in)


class Package(ModuleType):
    """A package whose own code runs when something is asked for that is none of its modules."""

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(name)
        if not name.startswith("__") and find_spec(f"{self.__name__}.{name}"):
            return import_module(f"{self.__name__}.{name}")
        with _LOADING:
            if type(self) is Package:
                _run(self)
        return getattr(self, name)


def _run(package: ModuleType) -> None:
    assert package.__spec__ is not None and package.__spec__.loader is not None
    package.__class__ = ModuleType  # pyright: ignore[reportAttributeAccessIssue]  # from here on it is what it is for an ordinary import that is under way
    try:
        with quiet_imports(), _without_stand_ins():
            package.__spec__.loader.exec_module(package)
    except BaseException:
        package.__class__ = Package
        raise


def defer(package: str) -> None:
    """Put a package of this name where imports look, its own code not run. Its parent must be there."""
    spec = find_spec(package)
    assert spec is not None and package not in sys.modules
    module = module_from_spec(spec)
    module.__class__ = Package
    sys.modules[package] = module
    owner, _, name = package.rpartition(".")
    if owner:
        setattr(sys.modules[owner], name, module)
