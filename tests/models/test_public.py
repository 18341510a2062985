"""What people type in Python: one prompt as a string, and one clear line for what does not fit."""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.loading import load_model
from mech_music.models.sampling import Sampling
from tests.second_generator import SecondGenerator

PROMPT = "Compose a happy rock piece."
SHORT = 0.3


@pytest.fixture(params=["made", "second"])
def model(request: pytest.FixtureRequest) -> Any:
    return SecondGenerator() if request.param == "second" else request.getfixturevalue(request.param)


def test_a_string_is_one_prompt(model: Any) -> None:
    tokens, cache = model.run_with_cache(PROMPT, "blocks.0.hook_mlp_out", duration=SHORT)
    listed, again = model.run_with_cache([PROMPT], "blocks.0.hook_mlp_out", duration=SHORT)
    assert torch.equal(tokens, listed) and torch.equal(cache["mlp_out", 0], again["mlp_out", 0])
    assert torch.equal(
        tokens, model.run_with_hooks(PROMPT, [("blocks.0.hook_mlp_out", lambda *_: None)], duration=SHORT)
    )
    assert tokens.shape[0] == len(model.forced_logits(PROMPT, tokens)) == 1


def test_a_string_is_one_prompt_under_nnsight(made: Any) -> None:
    with made.generate(PROMPT, duration=SHORT) as tracer:
        tokens = tracer.result.save()
    assert torch.equal(tokens, made.generate([PROMPT], duration=SHORT))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"duration": 0.0}, r"^duration=0: expected seconds, at least 0\.0\d+ \(one frame\)$"),
        ({"duration": -1.0}, "^duration=-1: expected seconds"),
        ({"duration": float("nan")}, "^duration=nan: expected seconds"),
        ({"duration": float("inf")}, "^duration=inf: expected seconds"),
        ({"seeds": [1, 2]}, "^2 seeds for 1 prompts: give one seed, or one for each prompt$"),
        ({"exit_layer": 7}, "^exit layer 7 does not exist: this model has layers 0 to 2$"),
        (
            {"forced": torch.zeros(1, 9, 3)},
            r"^forced tokens are \[1, 9, 3\]: expected \[1 rows \(or 1\), \d codebooks, \d frames\]",
        ),
        ({"prefix": torch.zeros(3, 1, 3)}, r"^prefix tokens are \[3, 1, 3\]: expected .* at most \d frames\]$"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(model: Any, settings: dict[str, Any], line: str) -> None:
    calls: tuple[tuple[Any, Any], ...] = (
        (model.run_with_cache, "blocks.0.hook_mlp_out"),
        (model.run_with_hooks, [("blocks.0.hook_mlp_out", lambda *_: None)]),
        (model.run_with_hooks, []),
    )
    for call, hooks in calls:
        with pytest.raises(UserError, match=line) as caught:
            call(PROMPT, hooks, **{"duration": SHORT, **settings})
        assert "\n" not in str(caught.value)


def test_tokens_of_another_model_are_one_line(model: Any) -> None:
    tokens = model.run_with_hooks(PROMPT, [], duration=SHORT)
    tokens[0, 0, 0] = model.card
    line = rf"^forced tokens go from \d+ to {model.card}: this model's go from 0 to {model.card - 1}$"
    with pytest.raises(UserError, match=line):
        model.run_with_hooks(PROMPT, [], duration=SHORT, forced=tokens)


def test_no_prompt_is_one_line(model: Any) -> None:
    with pytest.raises(UserError, match="^no prompts: give at least one$"):
        model.run_with_hooks([], [], duration=SHORT)


@pytest.mark.parametrize(
    ("sampling", "line"),
    [
        ({"top_k": -1}, "^top_k=-1: expected 0"),
        ({"temperature": 0.0}, "^temperature=0: expected a number above 0$"),
        ({"temperature": float("nan")}, "^temperature=nan: expected a number above 0$"),
        ({"guidance": float("inf")}, "^guidance=inf: expected a number$"),
    ],
)
def test_nothing_can_be_sampled_so(sampling: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        Sampling(**sampling)


@pytest.mark.parametrize(
    ("name", "wanted"), [("hook_mlp_out", "2, 3"), ("attn.hook_z", "2, 3"), ("attn.hook_pattern", "2, 3")]
)
def test_a_hook_that_returns_another_shape_is_told(made: Any, name: str, wanted: str) -> None:
    hook = f"blocks.1.{name}"
    for wrong, given in ((torch.zeros(5), r"a tensor of shape \[5\]"), (0.0, "a float")):
        line = rf"^hook '{hook}': its function returned {given}, expected a tensor of shape \[{wanted}, .*\], or None$"
        with pytest.raises(UserError, match=line) as caught:
            made.run_with_hooks([PROMPT] * 3, [(hook, lambda *_, wrong=wrong: wrong)], duration=SHORT)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["blocks.0.hook_q", "blocks.0.mlp.hook_z", "blocks.0.attn.hook_mlp_out", "z"])
def test_an_unknown_hook_is_one_line(model: Any, name: str) -> None:
    with pytest.raises(UserError, match=f"^unknown hook '{name}': expected blocks.<layer>.hook_<point>, point one of"):
        model.select_hooks(name)


def test_a_hook_of_cross_attention_that_is_not_there(model: Any) -> None:
    if "cross_attn.z" not in model.points:
        with pytest.raises(
            UserError, match="^hook 'blocks.0.cross_attn.hook_z': this model has no cross-attention; its"
        ):
            model.select_hooks("blocks.0.cross_attn.hook_z")


def test_number_formats_that_are_none() -> None:
    with pytest.raises(UserError, match="^unknown number format 'int8': expected float32, float16, bfloat16$"):
        load_model(device="cpu", dtype="int8")


def test_audio_that_cannot_be_encoded_is_one_line(model: Any) -> None:
    for audio, rate, line in (
        (torch.zeros(4000), 4000, r"^audio of shape \[4000\] at 4000 Hz: expected \[row, sample\]"),
        (torch.zeros(1, 0), 4000, r"^audio of shape \[1, 0\]"),
        (torch.zeros(1, 4000), 0, "at 0 Hz"),
        (torch.full((1, 4000), float("nan")), 4000, "^audio with samples that are not finite"),
    ):
        with pytest.raises(UserError, match=line):
            model.to_tokens(audio, rate)


def test_sound_of_another_rate_is_resampled(made: Any) -> None:
    """A tone is the same tokens at twice the rate, nearly; and as many of them."""
    rate = made.sample_rate
    tones = [torch.sin(440 * 2 * torch.pi * torch.arange(rate * n) / (rate * n))[None] for n in (1, 2)]
    once, twice = (made.to_tokens(tone, rate * n) for tone, n in zip(tones, (1, 2), strict=True))
    assert once.shape == twice.shape == (1, made.n_codebooks, made.n_frames(1.0))
    assert (once[:, 0] == twice[:, 0]).float().mean() > 0.8


def test_quiet_blocks_of_two_threads_overlap(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is silent, everybody else is heard, and standard output is what it was when both are over."""
    out, begun, ended = sys.stdout, threading.Event(), threading.Event()

    def talk() -> None:
        with quiet_imports():
            begun.set()
            assert ended.wait(10)
            sys.stdout.write("from the thread")
            warnings.warn("from the thread", stacklevel=1)

    thread = threading.Thread(target=talk)
    with quiet_imports():
        thread.start()
        assert begun.wait(10)
        sys.stdout.write("from here")
    sys.stdout.write("heard")
    ended.set()
    thread.join()
    assert sys.stdout is out
    assert capsys.readouterr().out == "heard"
