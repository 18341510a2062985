"""What decides a result is part of its key, file by file: change it, and the stored one is not served."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.config.schema import ClassifierConfig, EngineConfig, ModelConfig
from mech_music.edits.row import Row
from mech_music.engine.engine import Engine
from mech_music.listeners.classifier import ClassifierListener, classifier_id
from mech_music.models.musicgen import build as building
from mech_music.models.musicgen.loading import FILES, Checkpoint, fingerprint
from mech_music.store import Store, upkeep
from mech_music.tiny import bundle_dir
from tests.made import make_checkpoint
from tests.made_engine import SHORT

ROW = Row("Compose a happy rock piece, with a guitar melody.", 0)
T5_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
BASE = """
import torch
from pathlib import Path

class Base:
    name, sample_rate, n_classes = "mine", 16_000, 527

    @classmethod
    def files(cls, config):
        return [Path(config.path)]

    @classmethod
    def load(cls, config, device):
        return cls()

    def logits(self, audio, sample_rate):
        return torch.full((len(audio), 527), float(self.value))
"""
MINE = """
from a_base import Base

class Mine(Base):
    value = 1

class Other(Base):
    value = 2
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module of the user's, as the next process would import it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        for known in ("a_base", "a_module"):
            sys.modules.pop(known, None)

    (tmp_path / "weights").write_bytes(b"1, 2, 3")
    write("a_base", BASE)
    write("a_module", MINE)
    return write


def config(tmp_path: Path, name: str = "Mine") -> ClassifierConfig:
    return ClassifierConfig(_target_=f"a_module.{name}", name="mine", path=str(tmp_path / "weights"))


def engine(folder: Path, store: Path, classifier: ClassifierConfig | None = None, layers: int = 3) -> Engine:
    """As the command line makes it; on a made checkpoint, if nothing else is said."""
    source = Checkpoint(ModelConfig("made", path=str(folder), layers=layers, frame_rate=25), "cpu", threads=1)
    listeners = {"classifier": lambda: ClassifierListener(classifier or "tiny", "cpu")}
    return Engine(source, Store(store), SHORT, listeners, EngineConfig(workers=1), quiet=True)


def heard(engine: Engine) -> np.ndarray:
    return engine.answers([ROW], ("classifier",)).reading(ROW, "classifier")["logits"]


def holdings(store: Path) -> int:
    """Clips and readings."""
    return sum(holding.items for holding in upkeep.survey(store))


# -- the classifier ------------------------------------------------------------------------------------------


def test_another_class_of_the_same_name_and_files_hears_for_itself(
    checkpoint: Path, tmp_path: Path, module: Callable[[str, str], None]
) -> None:
    for name, value in (("Mine", 1), ("Other", 2), ("Mine", 1)):
        assert set(heard(engine(checkpoint, tmp_path / "store", config(tmp_path, name)))) == {value}


@pytest.mark.parametrize("changed", ["a_module", "a_base"])
def test_a_class_whose_source_changed_hears_again(
    checkpoint: Path, tmp_path: Path, module: Callable[[str, str], None], changed: str
) -> None:
    assert set(heard(engine(checkpoint, tmp_path / "store", config(tmp_path)))) == {1}
    new = {"a_module": MINE.replace("= 1", "= 3"), "a_base": BASE.replace("self.value", "3 * self.value")}
    module(changed, new[changed])
    assert set(heard(engine(checkpoint, tmp_path / "store", config(tmp_path)))) == {3}


def test_the_same_class_is_served_from_the_store(
    checkpoint: Path, tmp_path: Path, module: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also imported anew, from another folder, with its files elsewhere."""
    before = heard(engine(checkpoint, tmp_path / "store", config(tmp_path)))
    elsewhere = shutil.copytree(tmp_path, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("store"))
    monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    module("unused", "")
    monkeypatch.setattr(Checkpoint, "model", property(lambda self: pytest.fail("loaded")))
    assert np.array_equal(heard(engine(checkpoint, tmp_path / "store", config(elsewhere))), before)
    assert sys.modules["a_module"].__file__ == str(elsewhere / "a_module.py")


def test_a_module_that_changed_after_its_import_is_what_was_imported(
    tmp_path: Path, module: Callable[[str, str], None]
) -> None:
    before = classifier_id(config(tmp_path))
    (tmp_path / "a_module.py").write_text(MINE + "\n# edited, not imported again\n")
    assert classifier_id(config(tmp_path)) == before
    module("unused", "")
    assert classifier_id(config(tmp_path)) != before


def test_a_classifier_that_changes_while_it_is_loaded_stores_nothing(
    checkpoint: Path, tmp_path: Path, module: Callable[[str, str], None]
) -> None:
    module("a_base", BASE.replace("return cls()", "Path(config.path).write_bytes(b'9, 9, 9'); return cls()"))
    with pytest.raises(UserError, match=r"classifier 'mine': its files changed while it was being loaded") as caught:
        heard(engine(checkpoint, tmp_path / "store", config(tmp_path)))
    assert "\n" not in str(caught.value)
    assert holdings(tmp_path / "store") == 0


# -- the model -----------------------------------------------------------------------------------------------


def changed(path: Path) -> None:
    """Other bytes, which can still be read where they are JSON."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 0 if path.suffix == ".json" else 1
    path.write_bytes(content + b"\n" * (path.suffix == ".json"))


@pytest.mark.parametrize("name", T5_FILES)
def test_the_text_encoder_beside_the_bundled_model_decides(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(bundle_dir(), tmp_path / "bundle")
    before = fingerprint(bundle_dir())
    assert fingerprint(folder) == before
    changed(folder / "t5" / name)
    assert fingerprint(folder) != before


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_a_file_that_appears_beside_a_tokenizer_decides(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    (folder / "t5" / name).write_text("{}")
    assert fingerprint(folder) != fingerprint(checkpoint)


def test_words_that_changed_places_are_not_served(tmp_path: Path) -> None:
    """Guitar and piano swapped in the bundled model's tokenizer: on a warm store as on an empty one, and back again."""
    folder = shutil.copytree(bundle_dir(), tmp_path / "bundle")

    def logits(model: Path, store: str) -> np.ndarray:
        return heard(engine(model, tmp_path / store, layers=8))

    before = logits(bundle_dir(), "warm")
    path = folder / "t5" / "tokenizer.json"
    path.write_text(path.read_text().replace("▁guitar", "▁?").replace("▁piano", "▁guitar").replace("▁?", "▁piano"))
    swapped = logits(folder, "empty")
    assert not np.array_equal(swapped, before)
    assert np.array_equal(logits(folder, "warm"), swapped)
    assert np.array_equal(logits(bundle_dir(), "empty"), before)


@pytest.mark.parametrize("name", T5_FILES[:3])
def test_a_text_encoder_s_file_that_is_gone_fails_on_a_warm_store(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    heard(engine(folder, tmp_path / "store"))
    (folder / "t5" / name).unlink()
    with pytest.raises(UserError, match=rf"text encoder in '{folder / 't5'}' has no") as caught:
        engine(folder, tmp_path / "store")
    assert "\n" not in str(caught.value)


def test_a_bundle_without_its_text_encoder_is_one_line(tmp_path: Path) -> None:
    folder = shutil.copytree(bundle_dir(), tmp_path / "bundle")
    shutil.rmtree(folder / "t5")
    with pytest.raises(UserError, match=rf"'{folder}' has no t5/, the text encoder") as caught:
        fingerprint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "moment"),
    [("replaced", "before it is read"), ("written over", "after it was read"), ("removed", "after it was read")],
)
@pytest.mark.parametrize("name", [*FILES, "t5/tokenizer.json"])
def test_weights_that_change_while_they_are_loaded_store_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str, moment: str
) -> None:
    folder, build = shutil.copytree(checkpoint, tmp_path / "model"), building.build
    other = make_checkpoint(tmp_path / "other", seed=1)
    changed(other / "t5" / "tokenizer.json")

    def change() -> None:
        if how == "replaced":
            os.replace(other / name, folder / name)
        elif how == "written over":
            (folder / name).write_bytes((other / name).read_bytes())
        else:
            (folder / name).unlink()

    def built(*words: object) -> object:
        if moment == "before it is read":
            change()
        model = build(*words)  # type: ignore[arg-type]
        if moment == "after it was read":
            change()
        return model

    monkeypatch.setattr(building, "build", built)
    made = engine(folder, tmp_path / "store")
    with pytest.raises(UserError, match=r"the model in '.*': its files changed while it was being loaded") as caught:
        heard(made)
    assert "\n" not in str(caught.value)
    assert holdings(tmp_path / "store") == 0
