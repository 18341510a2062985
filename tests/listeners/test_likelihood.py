"""The likelihood of clips under the unedited model: as computed step by step, and lower for edited ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mech_music.edits.row import Edit, Prefix, Row
from mech_music.listeners.likelihood import Likelihood
from mech_music.listeners.protocol import Clips
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.tiny import bundle_dir
from tests.conftest import PROMPTS

SAMPLING = Sampling(top_k=20, temperature=0.8, guidance=2.0)


def by_hand(made: HookedMusicGen, prompt: str, tokens: torch.Tensor, guidance: float) -> np.ndarray:
    """−log p ``[codebook frame]``: the heads' logits at each step of a generation along the tokens, in float64."""
    _, cache = made.run_with_cache([prompt] * 8, "blocks.2.hook_resid_post", forced=tokens[None], duration=0.5)
    lm: Any = made.musicgen.lm
    stream = torch.as_tensor(cache["blocks.2.hook_resid_post"])[:, 0]
    with torch.no_grad():
        normed = lm.out_norm(stream)
        cond, uncond = torch.stack([head(normed) for head in lm.linears], dim=1).double()
    found = ((uncond + guidance * (cond - uncond)) / SAMPLING.temperature).log_softmax(-1)
    frames = tokens.shape[-1]
    # Codebook k is delayed by k steps.
    return -np.array([[float(found[k, t + k, tokens[k, t]]) for t in range(frames)] for k in range(len(tokens))])


def test_nats_are_those_of_the_steps(made: HookedMusicGen) -> None:
    """Of prompts of two lengths, with a prefix that does not count; alone as in company."""
    rows = [Row(prompt, 0) for prompt in PROMPTS]
    tokens = made.generate([row.prompt for row in rows], duration=0.5, sampling=SAMPLING)
    rows[1] = Row(rows[1].prompt, 0, prefix=Prefix.of(tokens[1, :, :4].tolist()))
    listener = Likelihood(SAMPLING)
    found = listener.read(Clips(rows, tokens, made))
    each = [by_hand(made, row.prompt, clip, SAMPLING.guidance) for row, clip in zip(rows, tokens, strict=True)]
    wanted = [clip[:, 4 if row.prefix else 0 :].mean() for row, clip in zip(rows, each, strict=True)]
    np.testing.assert_allclose(found["nats"], wanted, rtol=1e-4)
    assert found["nats"].dtype == np.float32 and len(set(wanted)) == 3
    for place, row in enumerate(rows):
        assert listener.read(Clips([row], tokens[place : place + 1], made))["nats"][0] == found["nats"][place]


def test_its_id_is_its_sampling() -> None:
    assert Likelihood(SAMPLING).id == Likelihood(Sampling(20, 0.8, 2.0)).id != Likelihood(Sampling()).id


def test_an_edit_makes_clips_less_likely() -> None:
    """On the bundled model: without its middle layer's MLP it plays what it would hardly have played."""
    model = load_model(str(bundle_dir()), device="cpu")
    prompts = [f"Compose a happy {genre} piece, with a piano melody. Use a fast tempo." for genre in ("rock", "jazz")]
    settings: dict[str, Any] = {"duration": 2.0, "sampling": Sampling()}
    listener = Likelihood(Sampling())
    middle = f"blocks.{model.n_layers // 2}.hook_mlp_out"
    clips = {
        "plain": model.generate(prompts * 4, seeds=list(range(8)), **settings),
        "edited": model.run_with_hooks(
            prompts * 4, [(middle, lambda value, hook: 0 * value)], seeds=list(range(8)), **settings
        ),
    }
    rows = [Row(prompt, 0) for prompt in prompts * 4]
    nats = {name: listener.read(Clips(rows, tokens, model)) for name, tokens in clips.items()}
    plain, edited = nats["plain"]["nats"], nats["edited"]["nats"]
    assert edited.mean() > plain.mean() + 3 * plain.std() / 8**0.5, (plain, edited)
    assert 0 < plain.mean() < np.log(model.card)


def test_edits_do_not_matter_to_the_reader(made: HookedMusicGen) -> None:
    tokens = made.generate([PROMPTS[0]], duration=0.5)
    edited = Row(PROMPTS[0], 0, (Edit("blocks.0.hook_mlp_out", 0.0),))
    listener = Likelihood(SAMPLING)
    one, other = (listener.read(Clips([row], tokens, made)) for row in (Row(PROMPTS[0], 0), edited))
    assert all(np.array_equal(one[name], other[name]) for name in one)
