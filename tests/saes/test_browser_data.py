"""The feature browser's folder: its data, what it does with labels, tables and dead features, and what it leaves."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.report.features.details import CHUNK, page_of
from mech_music.report.features.table import columns, listed, read_labels, read_table
from tests.saes.made_features import (
    ATTACK,
    HOOK,
    LABELS,
    STEPS,
    feature_set,
    made_catalogue,
    rendered,
    table_of,
    written,
)

NONE = LABELS.iloc[:0]


def piece(folder: Path, name: str) -> Any:
    """What a data file hands over, which has to be one call with JSON."""
    text = (folder / "data" / f"{name}.js").read_text()
    start = f'receive("{name}",'
    assert text.startswith(start) and text.endswith(");\n")
    return json.loads(text[len(start) : -3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("browser")
    written(place, made_catalogue(feature_set()))
    return place


def test_every_feature_is_in_its_chunk_with_its_trace(folder: Path) -> None:
    of = feature_set()
    pages = [page for chunk in range(2) for page in piece(folder, f"0/{chunk}")]
    assert len(pages) == 70 and len(piece(folder, "0/0")) == CHUNK
    for feature, page in enumerate(pages):
        places = [place for place in range(4) if of.clip[feature, place] >= 0]
        assert [one["clip"] for one in page["moments"]] == of.clip[feature, places].tolist()
        for one, place in zip(page["moments"], places, strict=True):
            stored = np.frombuffer(base64.b64decode(one["trace"]["bytes"]), np.uint8) / 255 * one["trace"]["most"]
            assert len(stored) == STEPS
            np.testing.assert_allclose(stored, of.trace[feature, place], atol=4 / 255)
            assert ((stored > 0) == (of.trace[feature, place] > 0)).all(), "what fires a little is not rounded away"
        assert page["moments"][0]["step"] == (feature % 10 if feature != 3 else 0)
    assert [one["kind"] for one in pages[3]["moments"]] == [2], "of a dead feature the random clip alone"


def test_the_list_ranks_labels_by_their_score_and_dead_features_last(folder: Path) -> None:
    told = piece(folder, "0")
    assert told["rank"][:4] == [5, 0, 1, 2] and told["rank"][-2:] == [69, 3], "5 has a scored label, 69 no score"
    assert told["dead"] == [3] and told["labels"]["5"] == ["plucked <b>strings</b>", 0.8]
    assert told["labels"]["9"] == ["a bell", None] and told["searched"]["5"].endswith(ATTACK)
    assert told["columns"]["word"]["words"] == ["guitar", "piano", "jazz"] and "layer" not in told["columns"]
    assert told["columns"]["viable_fires_in_5_percent"] == {"kind": "flag", "values": [1, 0] * 35}
    assert told["columns"]["auroc"]["values"][69] is None


def test_sound_is_for_the_first_by_score_and_each_clip_is_there_once(folder: Path) -> None:
    told, clips = piece(folder, "0"), piece(folder, "0/clips")
    assert told["heard"] == [5, 0, 1, 2, 4, 6] and told["steered"] == [5, 0]
    wanted = {int(clip) for feature in told["heard"] for clip in feature_set().clip[feature]}
    assert {int(clip) for clip in clips["files"]} == wanted
    steered = piece(folder, "0/0")[0]["steered"]
    assert [one["name"] for one in steered["versions"]] == ["α = 1", "α = 2"] and steered["clip"] == 3
    other = piece(folder, "0/0")[5]["steered"]
    files = [*clips["files"].values(), *steered["versions"], *other["versions"]]
    named = {one[part] for one in files for part in ("sound", "image")}
    assert {str(path.relative_to(folder)) for path in (folder / "clips").iterdir()} == named
    assert all((folder / name).stat().st_size > 500 for name in named)
    assert clips["prompts"][clips["prompt"][37]] == "prompt 7" and clips["seed"][37] == 1


def test_nothing_of_a_label_can_end_a_script(folder: Path) -> None:
    for path in folder.rglob("*.js"):
        if "data" in path.parts:
            assert "<" not in path.read_text(), path
    assert piece(folder, "0/0")[5]["labels"][0]["description"] == ATTACK


def test_written_again_it_is_the_same_and_nothing_old_stays(folder: Path, tmp_path: Path) -> None:
    written(tmp_path, made_catalogue(feature_set(300), with_sound=30))
    assert (tmp_path / "data/0/4.js").is_file()
    written(tmp_path, made_catalogue(feature_set()))
    one, two = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*")} for root in (folder, tmp_path)
    )
    assert one == two


def test_without_labels_tables_and_sound(tmp_path: Path) -> None:
    found = written(tmp_path, made_catalogue(feature_set(5)), NONE, sound=False)
    assert (found.labels, found.clips) == (0, 0) and not (tmp_path / "clips").exists()
    own = listed(feature_set(5), made_catalogue(), pd.DataFrame(columns=pd.Index(["hook", "feature"])), NONE)
    assert columns(own) == {} and own.rank.tolist() == [0, 1, 2, 4, 3]
    page = page_of(feature_set(5), own, 0, {})
    assert page["labels"] == [] and page["steered"] is None


def test_several_layers_have_their_own_files(tmp_path: Path) -> None:
    other = "blocks.2.hook_resid_post"
    written(tmp_path, made_catalogue(feature_set(5), feature_set(7, hook=other, layer=2), with_sound=1))
    assert [one["hook"] for one in piece(tmp_path, "about")["sets"]] == [HOOK, other]
    assert len(piece(tmp_path, "1/0")) == 7 and piece(tmp_path, "1")["labels"] == {}


def test_a_column_that_someone_added_is_shown(tmp_path: Path) -> None:
    table = table_of(feature_set(5)).assign(
        entropy=[0.1, np.nan, 2, 3, 4], place=[1, 2, 3, 4, 5], kind=["a", "b", None, "a", "b"]
    )
    own = columns(listed(feature_set(5), made_catalogue(), table.iloc[::-1], NONE))
    assert own["entropy"] == {"kind": "number", "whole": False, "values": [0.1, None, 2.0, 3.0, 4.0]}
    assert own["place"]["whole"] is True and own["kind"] == {
        "kind": "word",
        "values": [0, 1, -1, 0, 1],
        "words": ["a", "b"],
    }


def test_files_are_read_as_they_are_written(tmp_path: Path) -> None:
    assert read_labels(tmp_path).empty and read_table(tmp_path).empty
    LABELS.to_csv(tmp_path / "labels.csv", index=False)
    pd.testing.assert_frame_equal(read_labels(tmp_path), LABELS, check_dtype=False)
    (tmp_path / "labels.csv").write_text("hook,feature,words\na,1,b\n")
    with pytest.raises(UserError, match=r"labels.csv' has no column labeller: expected hook, feature, labeller, label"):
        read_labels(tmp_path)
    (tmp_path / "labels.csv").write_text("hook,feature,labeller,label\na,two,b,c\n")
    with pytest.raises(UserError, match=r"labels.csv' is no table of features \(ValueError: .*\): write it again"):
        read_labels(tmp_path)


def test_a_label_of_no_feature_is_left_out(tmp_path: Path) -> None:
    strange = LABELS.assign(feature=1_000)
    written(tmp_path, made_catalogue(feature_set(5)), strange)
    assert piece(tmp_path, "0")["rank"] == [0, 1, 2, 4, 3]


def test_the_made_sound_differs() -> None:
    """The steered clip of the tests is another than the original."""
    of = feature_set()
    found = of.steered(5)
    assert found is not None and of.steered(3) is None
    row, versions = found
    clips, _ = rendered([row, *versions.values()])
    assert not np.array_equal(clips[0], clips[1])
