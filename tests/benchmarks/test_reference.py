"""The plain script does what our engine does, so that their times may be compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mech_music.base.quiet import quiet_imports
from mech_music.benchmarks import rows as rows_of
from mech_music.benchmarks.models import Subject, duration
from mech_music.benchmarks.others import load_plain, plain_tokens
from mech_music.benchmarks.ours import edited_tokens
from mech_music.benchmarks.reference import Script
from mech_music.benchmarks.rows import everywhere, somewhere, versions
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import RowNoise, Sampling
from tests.conftest import PROMPTS

with quiet_imports():
    import audiocraft.utils.utils

FRAMES = 6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def script(checkpoint: Path, made: HookedMusicGen) -> Script:
    means = rows_of.random_means(made.n_steps(duration(FRAMES)), made.d_model)
    plain = load_plain(Subject("made", checkpoint, made.n_layers), CPU)
    return Script(plain, None, lambda source, hook: 200 * means(source, hook), FRAMES)  # type: ignore[arg-type]


def test_an_unedited_row_is_plain_generation(script: Script) -> None:
    rows = versions(PROMPTS[0], 0, 3)
    torch.manual_seed(5)
    tokens = script.tokens(rows)
    torch.manual_seed(5)
    plain = plain_tokens(script.musicgen, [PROMPTS[0]] * len(rows), FRAMES)
    assert torch.equal(tokens[0], plain[0])
    differ = (tokens[1:] != plain[1:]).flatten(1).any(1)
    assert differ.float().mean() > 0.7


def test_every_row_is_that_of_ours(script: Script, made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our rows' noise in audiocraft's sampler: the same tokens, edit by edit."""
    rows = versions(PROMPTS[0], 0, 3)
    lm, steps = script.musicgen.lm, iter(range(1000))
    noise = RowNoise([row.prompt for row in rows], [row.seed for row in rows], (lm.n_q, lm.card), CPU)

    def race(probs: torch.Tensor, num_samples: int) -> torch.Tensor:
        return torch.argmax(probs / noise(next(steps)), dim=-1, keepdim=True)

    monkeypatch.setattr(audiocraft.utils.utils, "multinomial", race)
    ours = edited_tokens(made, rows, script._mean, FRAMES)
    assert torch.equal(script.tokens(rows), ours)
    assert len({clip.numpy().tobytes() for clip in ours}) > 10


def test_versions_are_distinct_and_cover_the_layers() -> None:
    for layers in (8, 24):
        rows = versions(PROMPTS[0], 3, layers)
        assert len(set(rows)) == len(rows) == 48
        assert rows[0].edits == ()
        assert {row.edits[0].hook.split(".")[1] for row in rows[1:]} == {str(i) for i in range(layers)}
    assert len(everywhere(rows[0], 8).edits) == 24
    assert len(somewhere(rows[0]).edits) == 1


def test_sampling_is_the_same_on_both_sides(script: Script) -> None:
    plain_tokens(script.musicgen, [PROMPTS[0]], FRAMES)
    ours, theirs = Sampling(), script.musicgen.generation_params
    assert theirs["cfg_coef"] == ours.guidance
    assert theirs["temp"] == ours.temperature
    assert theirs["top_k"] == min(ours.top_k, script.musicgen.lm.card)
    assert not theirs["two_step_cfg"]
