"""From a config to a classifier: ours by name, a user's by one class and one YAML."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.config import paths
from mech_music.config.paths import options
from mech_music.config.schema import ClassifierConfig
from mech_music.listeners.classifier import ClassifierListener, classifier_id, label_names, load_classifier
from tests.composing import compose_run

MINE = """
import torch
from pathlib import Path

class Loudness:
    name, sample_rate, n_classes = "mine", 16_000, {n_classes}

    @classmethod
    def files(cls, config):
        return [Path(config.path)]

    @classmethod
    def load(cls, config, device):
        return cls()

    def logits(self, audio, sample_rate):
        return audio.square().mean(1)[:, None].expand(-1, self.n_classes)
"""


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, n_classes: int = 527) -> ClassifierConfig:
    """A user's class, importable, and the config that its YAML composes to."""
    (folder / "a_users_module.py").write_text(MINE.format(n_classes=n_classes))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "a_users_module", raising=False)
    (folder / "weights").write_bytes(b"1, 2, 3")
    return ClassifierConfig(_target_="a_users_module.Loudness", name="mine", path=str(folder / "weights"))


def test_one_class_and_one_yaml_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = written(tmp_path, monkeypatch)
    groups = tmp_path / "conf" / "classifier"
    groups.mkdir(parents=True)
    (groups / "mine.yaml").write_text(f"_target_: {mine._target_}\nname: mine\npath: {mine.path}\n")
    monkeypatch.setattr(paths, "conf_dir", lambda: tmp_path / "conf")
    clips = torch.full((2, 100), 2.0)
    assert load_classifier("mine").logits(clips, 16_000)[1, 526] == 4.0
    listener = ClassifierListener(mine, "cpu")
    assert listener.id == classifier_id("mine") and listener.id.startswith("mine a_users_module.Loudness ")
    assert listener.classifier.logits(clips, 16_000).shape == (2, 527)


def test_the_id_knows_the_name_and_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = written(tmp_path, monkeypatch)
    before = classifier_id(mine)
    (tmp_path / "weights").write_bytes(b"1, 2, 4")
    assert classifier_id(mine) != before
    (tmp_path / "weights").unlink()
    with pytest.raises(UserError, match="weights' cannot be read"):
        classifier_id(mine)


def test_a_class_that_does_not_fit_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = written(tmp_path, monkeypatch, n_classes=50)
    with pytest.raises(UserError, match="'mine' has 50 classes, not AudioSet's 527"):
        load_classifier(mine)
    mine._target_ = "a_users_module.Softness"
    with pytest.raises(UserError, match=r"Softness' cannot be imported .* mend conf/classifier/mine\.yaml") as caught:
        load_classifier(mine)
    assert "\n" not in str(caught.value)
    mine._target_ = "pathlib.Path"
    with pytest.raises(UserError, match=r"pathlib\.Path has no files"):
        classifier_id(mine)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown classifier 'vggish'; Allowed: ast, passt, tiny"):
        load_classifier("vggish")


def test_every_yaml_names_its_class() -> None:
    for name in options("classifier"):
        run = compose_run(f"classifier={name}")
        assert run.classifier.name == name and run.classifier._target_
    unwritten = ClassifierConfig(name="tiny")  # as in the config of a run from before there was _target_
    assert classifier_id(unwritten) == classifier_id("tiny")


def test_label_names() -> None:
    names = label_names(527)
    assert len(names) == 527 and names[140] == "Guitar" and names[196] == "Flute" and names[0] == "class 0"
