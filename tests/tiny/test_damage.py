"""Whether classifier and second judge part on edited clips: what is edited and counted, and that the judge learns."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Edit
from mech_music.models.hooks import Hook
from mech_music.tiny import data
from mech_music.tiny.damage import PAIRS, asked, kinds, main, parse, parted
from mech_music.tiny.judge import Judge, describe


def test_forgiven_is_what_the_classifier_alone_hears() -> None:
    wanted = {"genre": np.array([0, 1, 2, 3, 4])}
    heard, judged = {"genre": np.array([0, 1, 9, 8, 9])}, {"genre": np.array([0, 7, 2, 8, 7])}
    found = {name: flags.tolist() for name, flags in parted(wanted, heard, judged, "genre").items()}
    assert found["part"] == [False, True, True, False, True], "wrong alike is no parting"
    assert found["forgiven"] == [False, True, False, False, False]
    assert found["missed"] == [False, False, True, False, False]


def test_edits_go_from_none_to_every_layer() -> None:
    violin, found = data.STUDY.concepts["violin"], {kind.word: kind for kind in kinds(8)}
    assert found["none"].edits(violin) == ()
    (one,) = found["MLP silenced, layer 3"].edits(violin)
    assert one == Edit("blocks.3.hook_mlp_out", 0.0)
    every = found["MLP replaced, all layers"].edits(violin)
    assert [Hook.parse(edit.hook).layer for edit in every] == list(range(8))
    assert {term.source.prompts.name for edit in every for term in edit.shift} == {"violin"}
    assert all(edit.hook.endswith("cross_attn_out") for edit in kinds(8)[1].edits(violin))


def test_prompts_are_those_of_every_pair_and_no_two_the_same() -> None:
    found = list(asked(12))
    assert len({prompt.text for prompt, _ in found}) == 12
    pairs = [(prompt.words["instrument"], desired.name) for prompt, desired in found]
    assert pairs == list(PAIRS) * 3


def test_the_judge_tells_a_high_tone_from_a_low_one_and_both_from_noise() -> None:
    rng, time = np.random.default_rng(0), np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.05, 16_000) for pitch in (200.0, 3000.0) * 6]
    audio = np.array([*tones, *rng.normal(0, 0.5, (6, 16_000))], dtype=np.float32)
    classes = np.array([0, 1] * 6 + [2] * 6)
    features, train = describe(audio), np.arange(18) % 3 != 2
    judge = Judge(0).fit(features[train], {"kind": classes[train]})
    assert judge.hear(features[~train])["kind"].tolist() == classes[~train].tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clips=2"], "clips=2: expected 8 to 125"),
        (["judge_clips=1"], "judge_clips=1: expected 50 to 5000"),
        (["clips=many"], "expected clips=, judge_clips= or seed= with a whole number"),
        (["strength=2"], "expected clips=, judge_clips= or seed= with a whole number"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as error:
        parse(words)
    assert said in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().err.count("\n") == 1
