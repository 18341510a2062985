"""The weights in the package: whole, loaded as any model is, and they know what has sounded before."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.models.musicgen import hub
from mech_music.models.musicgen.bundled import long_bundle, verify_bundle
from mech_music.models.musicgen.loading import Checkpoint, load_model
from mech_music.structure.pieces.annotated import Kind
from mech_music.tiny.long.announced import announced, gains
from mech_music.tiny.long.composition import HELD_OUT, compose
from mech_music.tiny.long.context import agreement, judge
from mech_music.tiny.long.evaluate import Subject, _shown, parse
from mech_music.tiny.long.forms import BLIND, TOLD
from mech_music.tiny.long.planted import PlantedPieces
from tests.composing import compose_run


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(verify_bundle(long_bundle()))


def test_exact_returns_gain_from_their_source_and_new_sections_from_nothing(subject: Subject) -> None:
    pieces = [piece for n in range(60) if (piece := compose(HELD_OUT + 20_000 + n)).tempo == "slow"][:5]
    gains = {kind.value: list[float]() for kind in Kind}
    for one in judge(pieces, subject.encode, subject.losses):
        gains[one.kind].append(float((one.swapped - one.true)[1]))
    assert len(gains["exact"]) > 3 and np.mean(gains["exact"]) > 0.2
    assert abs(np.mean(gains["new"])) < 0.1


def test_a_section_begins_as_its_prompt_says(subject: Subject) -> None:
    """Of told pieces; a blind one's cadence, which a coin decides, says nothing."""
    pieces = [piece for n in range(60) if (piece := compose(HELD_OUT + 20_000 + n)).tempo == "slow"]
    told, blind = ([piece for piece in pieces if piece.regime == regime][:4] for regime in (TOLD, BLIND))
    found = list(announced(told + blind, subject.encode, subject.losses))
    told_of, blind_of = (
        np.concatenate([gains(found, regime, one) for one in (True, False)]) for regime in (TOLD, BLIND)
    )
    assert np.mean(told_of) > 0.2 and abs(np.mean(blind_of)) < 0.1


def test_nobody_is_told_of_words_that_are_measured_with(caplog: pytest.LogCaptureFixture) -> None:
    model = load_model(path=str(long_bundle()), device="cpu")
    assert model.prompt_length(model.probe_prompt) > 5 and not caplog.records
    assert model.prompt_length("A gloomy piece.") and "'gloomy'" in caplog.text


def test_equal_music_is_equal_tokens(subject: Subject) -> None:
    everything = agreement([compose(HELD_OUT + number) for number in range(8)], subject.encode)["all codebooks"]
    assert everything[0] > 0.9 and everything[1] > 0.99


def test_it_is_loaded_by_its_name_and_plays_a_whole_piece(subject: Subject) -> None:
    run = compose_run("model=tiny-long", "duration=25.6", "engine.device=cpu")
    model = Checkpoint(run.model, "cpu").model
    assert (model.n_frames(25.6), model.frame_rate, model.n_layers) == (320, 12.5, run.model.layers)
    pieces = PlantedPieces.from_run(run, regimes=["told"]).load(2, model)
    own = subject.encode(np.stack([_sound(piece.name) for piece in pieces]))
    assert np.array_equal(own.numpy(), np.stack([piece.codes for piece in pieces]))
    tokens = model.generate([pieces[0].prompt], seeds=[0], duration=1.6)
    assert tokens.shape == (1, 4, 20) and model.to_audio(tokens).shape == (1, 25_600)


def _sound(name: str) -> np.ndarray:
    from mech_music.tiny.long.planted import composed
    from mech_music.tiny.long.sound import render

    return render(composed(name))


def test_an_altered_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(long_bundle(), tmp_path / "bundle"))
    monkeypatch.setattr(hub, "long_bundle", lambda: folder)
    (folder / "state_dict.bin").write_bytes(b"other")
    with pytest.raises(UserError, match=r"state_dict\.bin is altered"):
        load_model(path=str(folder), device="cpu")


def test_the_bundle_is_small() -> None:
    files = [path for path in long_bundle().rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) <= 9e6


def test_a_kind_that_no_piece_has_is_a_dash() -> None:
    assert _shown([], 0) == "–" and _shown([1.0, 1.0, 1.0], 0).startswith("1.00 [")


@pytest.mark.parametrize(
    ("words", "said"), [(["pieces=3"], "pieces=3: expected at least 10"), (["piece=3"], "evaluate --help")]
)
def test_what_cannot_be_evaluated_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parse(words)
    assert "\n" not in str(caught.value)
