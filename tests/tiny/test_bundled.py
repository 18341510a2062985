"""The weights in the package know their music: a small version of the evaluation."""

import numpy as np
import pytest
import torch

from mech_music.models.musicgen.loading import load_model
from mech_music.models.protocol import MIN_PASS
from mech_music.tiny import bundle_dir, data, synth
from mech_music.tiny.evaluate import Subject, paper_prompts

PROMPT = "Compose a happy rock piece, with a piano melody. Use a fast tempo."


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(bundle_dir())


def test_generated_clips_are_what_was_asked_for(subject: Subject) -> None:
    prompts = paper_prompts(30)
    asked = data.classes(prompts)
    heard = subject.hear(subject.decode(subject.generate(prompts, guidance=3.0, seed=0, batch=30)))
    for group, least in {"instrument": 0.8, "genre": 0.85, "mood": 0.5, "tempo": 0.4}.items():
        assert (asked[group] == heard[group]).mean() >= least, group


def test_reconstructed_clips_are_heard_right_and_with_confidence(subject: Subject) -> None:
    clips = tuple(data.clip_at(2024, data.HELD_OUT_SEED + i) for i in range(24))
    audio = subject.reconstruct(torch.from_numpy(np.stack([synth.render(clip) for clip in clips])))
    wanted, heard = data.classes(map(data.prompt_of, clips)), subject.hear(audio)
    for group in ("instrument", "genre"):
        assert (wanted[group] == heard[group]).mean() >= 0.95
        labels = torch.tensor(data.group_labels(group))[torch.from_numpy(wanted[group])]
        share = subject.listener.logits(audio, synth.SAMPLE_RATE).softmax(1)[torch.arange(24), labels]
        assert 0.3 < share.median() < 0.5


def test_the_smallest_pass_has_the_last_bits_of_a_large_one() -> None:
    """Hidden values, not tokens alone: which processors take which path for few rows is not known beforehand."""
    model = load_model(device="cpu")
    prompts, seeds = [PROMPT] * 24, list(range(24))
    _, large = model.run_with_cache(prompts, seeds=seeds, duration=0.2)
    _, small = model.run_with_cache(prompts[:MIN_PASS], seeds=seeds[:MIN_PASS], duration=0.2)
    assert all(torch.equal(small[name], large[name][:, :MIN_PASS]) for name in large)


def test_the_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in bundle_dir().rglob("*") if path.is_file()) <= 12e6
