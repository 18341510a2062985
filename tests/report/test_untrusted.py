"""A folder of results is data: nothing that a file in it names is imported or run."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mech_music.config.schema import TaskConfig
from mech_music.report.__main__ import main
from mech_music.report.found import read_results
from mech_music.tasks.interchange.task import Interchange

OWN = f"{Interchange.__module__}.{Interchange.__qualname__}"


class _Attack:
    """Unpickled, it makes the file ``ran``."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.ran}",)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is there once an attack has run; beside it a pickle and a module that make it."""
    file = tmp_path / "ran"
    (tmp_path / "attack.pickle").write_bytes(pickle.dumps(_Attack(file)))
    (tmp_path / "attack_module.py").write_text(f"open({str(file)!r}, 'w').close()\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "attack_module", raising=False)
    return file


def spoil(folder: Path, key: str, value: object) -> None:
    """Change the configs of all jobs."""
    for path in folder.glob("*/.hydra/config.yaml"):
        config = OmegaConf.load(path)
        OmegaConf.update(config, key, value, merge=False, force_add=True)
        OmegaConf.save(config, path)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("task", {"_target_": "pandas.read_pickle", "filepath_or_buffer": "{pickle}"}, "task._target_=pandas.read"),
        ("task._target_", "attack_module.Mine", "task._target_=attack_module.Mine"),
        ("task._target_", ["attack_module.Mine"], "task._target_=[&#39;attack_module.Mine&#39;]"),
        ("classifier._target_", "attack_module.Mine", "classifier._target_=attack_module.Mine"),
    ],
)
@pytest.mark.parametrize("audio", ["audio=0", "audio=1"])
def test_an_unknown_class_is_one_note(
    copied: Path, ran: Path, audio: str, key: str, value: object, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(value, dict):
        value |= {"filepath_or_buffer": str(ran.parent / "attack.pickle")}
    spoil(copied, key, value)
    main([str(copied), audio])
    assert not ran.exists()
    assert "attack_module" not in sys.modules
    html = (copied / "report.html").read_text()
    assert html.count(f"A config here names {named}") == 1
    assert capsys.readouterr().out.count("A config here names") == 1
    assert "guitar" in html


def test_what_stands_beside_a_known_class_is_not_made_either(copied: Path, ran: Path) -> None:
    pickled = {"_target_": "pandas.read_pickle", "filepath_or_buffer": str(ran.parent / "attack.pickle")}
    spoil(copied, "task", {"_target_": OWN, "_args_": [pickled], "more": pickled})
    main([str(copied), "audio=1"])
    assert not ran.exists()
    assert "A config here names" not in (copied / "report.html").read_text()


def test_what_hydra_s_own_record_names_is_not_made(copied: Path, ran: Path) -> None:
    for path in (copied / "multirun.yaml", *copied.glob("*/.hydra/hydra.yaml")):
        config = OmegaConf.load(path)
        OmegaConf.update(config, "hydra.callbacks.mine", {"_target_": "attack_module.Mine"}, force_add=True)
        OmegaConf.update(config, "hydra.sweeper", {"_target_": "attack_module.Mine"}, force_add=True)
        OmegaConf.save(config, path)
    main([str(copied), "audio=1"])
    assert not ran.exists()


def test_known_classes_are_used_as_before(copied: Path) -> None:
    (found,) = read_results(copied)
    assert [run.task for run in found.runs] == [TaskConfig(OWN)] * 4
    assert found.missing == []
