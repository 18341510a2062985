"""Which clips are written, and that a player hears what the model made."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mech_music.base.errors import UserError
from mech_music.results.audio import pcm16, write_clips, write_wav
from mech_music.tasks.interchange.clips import chosen_clips
from tests.made_up_results import made_up_table


@pytest.fixture
def table() -> pd.DataFrame:
    return made_up_table()


def test_chosen_clips_of_the_technique(table: pd.DataFrame) -> None:
    table.loc[table["role"] != "technique", "effectiveness"] = 1e6
    effects = np.sort(table.query("role == 'technique'")["effectiveness"].to_numpy())
    choices = chosen_clips(table, strongest=2, weakest=3)
    assert [choice.facts["effectiveness"] for choice in choices] == [*effects[:-3:-1], *effects[:3]]
    assert [choice.name.split("_")[0] for choice in choices] == [
        "strongest-1",
        "strongest-2",
        "weakest-1",
        "weakest-2",
        "weakest-3",
    ]
    assert choices[0].name == f"strongest-1_layer-{choices[0].facts['layer']}_prompt-{choices[0].facts['index']:03d}"


@pytest.mark.parametrize(("n", "median", "expected"), [(60, 1, [29]), (59, 1, [29]), (60, 3, [29, 30, 28])])
def test_median_clips_are_those_nearest_the_middle(
    table: pd.DataFrame, n: int, median: int, expected: list[int]
) -> None:
    effects = table.query("role == 'technique'").sort_values("effectiveness", ascending=False)
    assert len(effects) == 60
    table.loc[effects.index[n:], "failed"] = True
    choices = chosen_clips(table, 1, 1, median)
    assert [choice.name.split("_")[0] for choice in choices] == [
        "strongest-1",
        *(f"median-{rank}" for rank in range(1, median + 1)),
        "weakest-1",
    ]
    told = [choice.facts["effectiveness"] for choice in choices[1:-1]]
    assert told == effects["effectiveness"].to_numpy()[expected].tolist()


def test_of_few_clips_the_middle_is_not_chosen_again(table: pd.DataFrame) -> None:
    few = table.query("role == 'technique'").head(4)
    names = [choice.name.split("_")[0] for choice in chosen_clips(few, 2, 1, 3)]
    assert names == ["strongest-1", "strongest-2", "median-1", "weakest-1"]
    assert len({choice.versions["edited"] for choice in chosen_clips(few, 2, 1, 3)}) == 4


def test_the_choice_does_not_depend_on_the_order_of_lines(table: pd.DataFrame) -> None:
    table["effectiveness"] = np.round(table["effectiveness"])
    shuffled = table.sample(frac=1, random_state=3)
    assert chosen_clips(shuffled, 5, 5) == chosen_clips(table, 5, 5)


def test_failed_clips_are_passed_over_and_none_is_chosen_twice(table: pd.DataFrame) -> None:
    best = chosen_clips(table, 1, 0)[0]
    table.loc[table["row"] == best.versions["edited"], "failed"] = True
    assert best.versions["edited"] not in {choice.versions["edited"] for choice in chosen_clips(table, 100, 100)}
    choices = chosen_clips(table, 50, 50)
    assert len(choices) == 59 == len({(choice.facts["layer"], choice.facts["index"]) for choice in choices})
    assert chosen_clips(table, 0, 0) == []


def test_files_hold_the_waveforms_and_the_index_says_which(table: pd.DataFrame, tmp_path: Path) -> None:
    choices = chosen_clips(table, 1, 1)
    keys = dict.fromkeys(key for choice in choices for key in choice.versions.values())
    tones = {key: np.sin(np.arange(800) / (3.0 + i)).astype(np.float32) for i, key in enumerate(keys)}
    clips = write_clips(choices, tones, sample_rate=32000, folder=tmp_path / "audio")
    with (tmp_path / "audio" / "index.csv").open(encoding="utf-8") as file:
        index = list(csv.DictReader(file))
    assert [line["file"] for line in index] == [clip.path.name for clip in clips]
    assert {path.name for path in (tmp_path / "audio").iterdir()} == {*(c.path.name for c in clips), "index.csv"}
    expected = [key for choice in choices for key in (choice.versions["original"], choice.versions["edited"])]
    for clip, key in zip(clips, expected, strict=True):
        heard, rate = soundfile.read(clip.path)
        assert (rate, soundfile.info(clip.path).subtype) == (32000, "PCM_16")
        np.testing.assert_allclose(heard, tones[key], atol=1e-4)
    assert index[0]["version"] == "original"
    assert float(index[1]["effectiveness"]) == pytest.approx(choices[0].facts["effectiveness"], abs=1e-4)
    assert clips[1].caption.startswith("edited: guitar → piano, replace mlp layer")


def test_loud_is_clipped_and_not_wrapped_around() -> None:
    assert pcm16(np.array([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0], dtype=np.float32)).tolist() == [
        -32767,
        -32767,
        0,
        16384,
        32767,
        32767,
    ]


def test_wrong_waveforms_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        write_wav(tmp_path / "a.wav", np.array([0.0, np.nan], dtype=np.float32), 32000)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_wav(tmp_path / "file" / "a.wav", np.zeros(8, dtype=np.float32), 32000)
