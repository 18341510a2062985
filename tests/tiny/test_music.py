"""The synthesiser and the score: clips are what they are said to be, and the same ever after."""

import librosa
import numpy as np
import pytest

from mech_music.tiny import data, score, synth
from mech_music.tiny.config import CorpusConfig
from mech_music.tiny.synth import Clip


def test_a_clip_is_four_seconds_within_one_and_repeats_exactly() -> None:
    clip = Clip("happy", "jazz", "violin", "slow to medium", 5)
    audio = synth.render(clip)
    assert audio.shape == (64_000,) and audio.dtype == np.float32
    assert 0.3 < np.abs(audio).max() <= 1.0
    np.testing.assert_array_equal(audio, synth.render(clip))
    assert not np.array_equal(audio, synth.render(Clip("happy", "jazz", "violin", "slow to medium", 6)))


@pytest.mark.parametrize("voice", data.INSTRUMENTS)
@pytest.mark.parametrize("midi", [60, 76])
def test_instruments_are_in_tune(voice: str, midi: int) -> None:
    audio = synth.note(voice, midi, 25)
    found = librosa.yin(audio, fmin=150, fmax=1000, sr=synth.SAMPLE_RATE)
    cents = 1200 * np.log2(np.median(found) / librosa.midi_to_hz(midi))
    assert abs(cents) < 12


def test_a_guitar_is_plucked_and_a_violin_bowed() -> None:
    def levels(voice: str) -> np.ndarray:
        parts = synth.note(voice, 67, 40).reshape(40, -1)[:35]
        return np.sqrt((parts**2).mean(1))

    guitar, violin = levels("guitar"), levels("violin")
    assert guitar[0] > 3 * guitar[20]
    assert violin[0] < 0.7 * violin[10] and violin[30] > 0.8 * violin[10]


@pytest.mark.parametrize("tempo", data.TEMPI)
@pytest.mark.parametrize("genre", data.GENRES)
def test_every_genre_marks_every_beat(genre: str, tempo: str) -> None:
    events = score.compose("emotional", genre, "flute", tempo, 0)
    accompanied = {event.frame for event in events if event.voice != "flute"}
    assert set(range(0, 100, score.BEAT_FRAMES[tempo])) <= accompanied


def test_only_the_instrument_changes_with_the_instrument() -> None:
    def played(instrument: str) -> list[tuple[int, int | None]]:
        return [(e.frame, e.midi) for e in score.compose("groovy", "pop", instrument, "fast", 3)]

    assert played("guitar") == played("trumpet")


def test_attributes_are_independent_and_splits_share_no_seed() -> None:
    train, held_out = data.splits(CorpusConfig(train=2000, held_out=300), seed=1)
    pairs = {(c.instrument, data.style(c.genre)) for c in train.clips}
    assert len(pairs) == len(data.INSTRUMENTS) * len(data.GENRES)
    assert {"EDM", "electronic"} <= {c.genre for c in train.clips}
    assert not {c.seed for c in train.clips} & {c.seed for c in held_out.clips}
    assert held_out.offset == 2000


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(KeyError):
        synth.render(Clip("sad", "rock", "guitar", "fast", 0))
