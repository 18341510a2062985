"""Generations that continue given tokens: audiocraft's own continuation, in any company; prefixes that do not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.edits.prefix import given_tokens
from mech_music.edits.row import Prefix, Row
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import RowNoise, Sampling
from tests.conftest import PROMPTS

with quiet_imports():
    import audiocraft.utils.utils
    from audiocraft.models.musicgen import MusicGen

TOP_K, GIVEN, DURATION = 20, 9, 1.0
TWO: list[str] = list(PROMPTS[:2])
MODEL: Any = SimpleNamespace(n_codebooks=4, card=64, device=torch.device("cpu"))


def some_tokens(frames: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 64, (4, frames), generator=torch.Generator().manual_seed(seed))


def continued(made: HookedMusicGen, prompts: list[str], given: Tensor) -> Tensor:
    return made.generate(prompts, duration=DURATION, sampling=Sampling(top_k=TOP_K), prefix=given)


def test_continuation_equals_audiocraft(
    made: HookedMusicGen, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``LMModel.generate(prompt=…)`` of the same weights, each step with the noise of its own place in the clip."""
    with quiet_imports():
        plain = MusicGen.get_pretrained(str(checkpoint), device="cpu")
    lm: Any = plain.lm
    given = torch.stack([some_tokens(GIVEN), some_tokens(GIVEN, 1)])
    noise = RowNoise(TWO, [0, 0], (lm.n_q, lm.card), torch.device("cpu"))
    first = lm.pattern_provider.get_pattern(25).get_first_step_with_timesteps(GIVEN) - 1
    for step in range(first):
        noise(step)
    steps = iter(range(first, 10**6))

    def race(probs: Tensor, num_samples: int) -> Tensor:
        assert num_samples == 1
        return torch.argmax(probs / noise(next(steps)), dim=-1, keepdim=True)

    monkeypatch.setattr(audiocraft.utils.utils, "multinomial", race)
    attributes, _ = plain._prepare_tokens_and_attributes(TWO, None)
    wanted = lm.generate(given, attributes, max_gen_len=25, top_k=TOP_K, cfg_coef=3.0)
    found = continued(made, TWO, given)
    assert torch.equal(found, wanted)
    assert torch.equal(found[..., :GIVEN], given)
    assert not torch.equal(found, continued(made, TWO, given.flip(-1)))


def test_prefixes_of_several_lengths_share_a_pass(made: HookedMusicGen) -> None:
    """Beside rows without one; each is what it is alone, and without a prefix what it always was."""
    rows = [
        Row(TWO[0], 0, prefix=Prefix.of(some_tokens(GIVEN).tolist())),
        Row(TWO[1], 0, prefix=Prefix.of(some_tokens(4, 1).tolist())),
        Row(TWO[0], 0),
    ]
    given = given_tokens(rows, MODEL, 25)
    assert given is not None and given.shape == (3, 4, GIVEN)
    found = continued(made, [row.prompt for row in rows], given)
    for place, row in enumerate(rows):
        alone = given_tokens([row], MODEL, 25)
        assert (alone is None) == (row.prefix is None)
        sampling = Sampling(top_k=TOP_K)
        assert torch.equal(
            made.generate([row.prompt], duration=DURATION, sampling=sampling, prefix=alone)[0], found[place]
        )


def test_a_clip_continued_from_its_own_beginning_is_itself(made: HookedMusicGen) -> None:
    clip = made.generate(TWO, duration=DURATION, sampling=Sampling(top_k=TOP_K))
    assert torch.equal(continued(made, TWO, clip[..., :GIVEN]), clip)


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ([[1, 2]] * 3, "prefix has 3 codebooks, but this model has 4"),
        ([[1, 64]] * 4, "prefix has token 64, but this model has tokens 0 to 63"),
        ([[-1]] * 4, "prefix has token -1"),
        ([[1] * 25] * 4, "prefix has 25 frames, but the whole clip has 25"),
        ([[1] * 30] * 4, "prefix has 30 frames"),
    ],
)
def test_a_prefix_that_does_not_fit_is_one_line(tokens: list[list[int]], told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        given_tokens([Row(TWO[0], 0), Row(TWO[0], 0, prefix=Prefix.of(tokens))], MODEL, 25)
    assert "\n" not in str(error.value)


def test_a_prefix_is_named_by_its_tokens() -> None:
    one, same, other = Prefix.of([[1, 2], [3, 4]]), Prefix.of(((1, 2), (3, 4))), Prefix.of([[1, 2], [3, 5]])
    assert one == same and hash(one) == hash(same) and one != other
    for wrong in ([], [[]], [[1], [1, 2]]):
        with pytest.raises(ValueError, match="codebook"):
            Prefix.of(wrong)
