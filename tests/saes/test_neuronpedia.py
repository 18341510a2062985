"""The export for Neuronpedia, read back: names of fields, values, batches, bytes, and its command's mistakes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.saes import neuronpedia
from mech_music.saes.__main__ import main, parse
from mech_music.saes.neuronpedia import export, read_back
from tests.saes.made_features import LABELS, feature_set

NAMES = ("tiny", "4-resid-post-70")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    of = feature_set()
    done = export(of, LABELS, *NAMES, tmp_path)
    assert done.folder == tmp_path / "v1/tiny/4-resid-post-70"
    features, activations, explanations = (
        read_back(done.folder, kind) for kind in ("features", "activations", "explanations")
    )
    assert (len(features), len(activations), len(explanations)) == (done.features, done.activations, done.explanations)
    assert [one["index"] for one in features] == [str(number) for number in range(70)]
    first = features[7]
    assert (first["modelId"], first["layer"], first["maxActApprox"]) == (*NAMES, 4.0)
    assert first["frac_nonzero"] == pytest.approx(of.by_step[:, 7].mean(), rel=1e-4)
    assert first["topkCosSimIndices"] == [8, 9] and first["topkCosSimValues"] == [0.5, 0.25]
    assert first["pos_str"] == ["0:0", "1:0"] and first["pos_values"] == [2.0, 2.0]
    assert first["neg_str"] == ["1:2", "0:2"] and first["neg_values"] == [-2.0, -2.0]
    own = [one for one in activations if one["index"] == "7"]
    assert len(own) == 4 and {one["dataIndex"] for one in own} == {"7", "8", "9", "10"}
    assert own[0]["maxValue"] == 4.0 and own[0]["maxValueTokenIndex"] == 8, "step 7, after the prompt"
    assert own[0]["tokens"][0] == "prompt 7 " and own[0]["tokens"][8] == "[7]"
    np.testing.assert_allclose(own[0]["values"][1:], of.trace[7, 0], atol=1e-3)
    assert [one["index"] for one in activations].count("3") == 1, "of a dead feature the random clip"
    assert len({one["id"] for one in activations}) == len(activations)
    assert [(one["index"], one["explanationModelName"]) for one in explanations] == [
        ("5", "tagger"),
        ("5", "words"),
        ("9", "words"),
    ]
    assert explanations[2]["description"] == "a bell: rings"


def test_batches_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuronpedia, "BATCH", 32)
    of = feature_set()
    one, two = (export(of, LABELS, *NAMES, tmp_path / name).folder for name in "ab")
    files = sorted(path.relative_to(one) for path in one.rglob("*.gz"))
    assert len(files) == 9 and len(read_back(one, "features")) == 70
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert (one / files[0]).read_bytes()[4:8] == b"\0\0\0\0", "gzip's time"
    assert gzip.decompress((one / "explanations/batch-1.jsonl.gz").read_bytes()) == b""


def test_without_labels(tmp_path: Path) -> None:
    assert export(feature_set(5), pd.DataFrame(), *NAMES, tmp_path).explanations == 0


@pytest.mark.parametrize("name", ["../up", "a b", "", ".."])
def test_a_name_that_is_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"^source='.*': expected letters, digits"):
        export(feature_set(5), LABELS, "tiny", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["export", "here"]).format == "neuronpedia"
    for words, said in {
        (): "expected the word export",
        ("import", "x"): "unknown word 'import'",
        ("export",): "the following arguments are required: folder",
        ("export", "x", "--format", "csv"): "unknown --format 'csv'",
        ("export", str(tmp_path)): "no results in",
    }.items():
        with pytest.raises(SystemExit):
            main(list(words))
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
