"""Imports that wait: what a stand-in does in a library's namespace, and that nobody else meets one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from mech_music.base.stand_ins import Package, StandIn, defer, stand_ins

FILES = {
    "heavy/__init__.py": "from . import parts\nclass Thing: pass\ndef double(x): return 2 * x\n",
    "heavy/parts.py": "limit = 7\n",
    "light.py": "import heavy\nfrom heavy import Thing, double, parts\ndef is_thing(x): return isinstance(x, Thing)\n",
    "broken.py": "import an_absent_module\n",
    "wrapped/__init__.py": "from . import one, two\nfrom .two import late\n__version__ = '2.0'\n",
    "wrapped/one.py": "value = 1\n",
    "wrapped/two.py": "import heavy\nlate = 'late'\n",
}


@pytest.fixture(autouse=True)
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _light() -> ModuleType:
    with stand_ins(["heavy"]):
        return import_module("light")


def test_a_library_s_own_import_waits_until_it_is_used() -> None:
    light = _light()
    assert "heavy" not in sys.modules
    assert light.double(4) == 8
    assert "heavy" in sys.modules and light.parts.limit == 7
    heavy = import_module("heavy")
    assert light.heavy.Thing is heavy.Thing
    assert light.is_thing(heavy.Thing()) and not light.is_thing(3)


def test_others_import_the_module_itself() -> None:
    light = _light()
    heavy = import_module("heavy")
    assert type(heavy) is ModuleType and isinstance(light.heavy, StandIn)
    with stand_ins(["heavy"]):  # it is there already
        assert import_module("heavy") is heavy


def test_what_is_called_at_once_is_loaded_at_once() -> None:
    with stand_ins(["heavy"]):
        import heavy  # pyright: ignore[reportMissingImports]

        assert isinstance(heavy, StandIn) and heavy.double(1) == 2
    assert type(import_module("heavy")) is ModuleType


def test_what_is_not_installed_is_missing_as_before() -> None:
    with stand_ins(["an_absent_module"]), pytest.raises(ModuleNotFoundError):
        import_module("an_absent_module")
    with stand_ins(["broken"]):
        broken = import_module("broken")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="an_absent_module"):
            broken.anything()
    with pytest.raises(AttributeError):
        _ = _light().heavy.nothing


def test_a_package_s_own_code_waits_for_what_it_defines() -> None:
    defer("wrapped")
    wrapped = import_module("wrapped")
    assert wrapped.one.value == import_module("wrapped.one").value == 1
    assert "wrapped.two" not in sys.modules and type(wrapped) is Package
    assert wrapped.late == "late" and wrapped.__version__ == "2.0"
    assert type(wrapped) is ModuleType and "heavy" in sys.modules
    with pytest.raises(AttributeError):
        _ = wrapped.nothing


def test_a_package_that_fails_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    defer("wrapped")
    wrapped = import_module("wrapped")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "heavy", None)  # its import fails
        with pytest.raises(ImportError):
            _ = wrapped.late
    assert wrapped.late == "late"
