"""What every `Generator` must do: MusicGen, one unlike it, and one of notes, side by side, down to the heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook, Layout
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.protocol import MIN_PASS, Generator
from mech_music.models.sampling import Sampling
from mech_music.models.symbolic.model import SymbolicGenerator
from tests.published import make_hub, make_published
from tests.second_generator import SecondGenerator
from tests.symbolic.made import made_symbolic

DURATION = 0.4
PROMPTS = ("Compose a happy rock piece.", "Compose a happy jazz piece.")  # of one length
SETTINGS: dict[str, Any] = {"duration": DURATION, "sampling": Sampling(top_k=20)}
MODELS = ("made", "second", "melody", "symbolic")
POINTS = ("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.z", "cross_attn.q", "cross_attn.k", "cross_attn.pattern")
EDITABLE = ("resid_pre", "attn_out", "mlp_out", "resid_post", *POINTS, "cross_attn.v", "cross_attn.z", "cross_attn_out")
Fn = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def melody(tmp_path_factory: pytest.TempPathFactory) -> HookedMusicGen:
    """A MusicGen whose text stands before the music."""
    home = tmp_path_factory.mktemp("melody")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(make_hub(home)))
        patch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
        return load_model(str(make_published(home / "musicgen-melody", melody=True)), device="cpu")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """Each generator in turn."""
    own = {"second": SecondGenerator, "symbolic": made_symbolic}
    return own[request.param]() if request.param in own else request.getfixturevalue(request.param)


def edited(model: Any, hook: Hook, fn: Fn, rows: int = len(PROMPTS), names: Sequence[str] | None = None) -> Any:
    """Tokens and what the hooks have when ``fn`` is applied to one of them at every step."""
    seen: dict[str, list[Tensor]] = {}
    hooks = model.select_hooks([*(names or model.hook_names), hook.name])

    def visit(at: Hook, _step: int, value: Tensor) -> Tensor | None:
        out = fn(value) if at == hook else None
        seen.setdefault(at.name, []).append((value if out is None else out).clone())
        return out

    prompts = [PROMPTS[row % len(PROMPTS)] for row in range(rows)]
    return model.visit(prompts, hooks, visit, seeds=list(range(rows)), **SETTINGS), seen


def of(model: Any, point: str, layer: int = 1) -> Hook:
    if point not in model.points:
        pytest.skip("this model has no cross-attention")
    return Hook(layer, point)


# -- the protocol ------------------------------------------------------------------------------


def test_it_is_a_generator(model: Any) -> None:
    assert isinstance(model, Generator)
    tokens = model.visit(list(PROMPTS), (), lambda *_: None, **SETTINGS)
    frames = model.n_frames(DURATION)
    assert tokens.shape == (2, model.n_codebooks, frames)
    assert model.d_model % model.n_heads == 0 and model.row_bytes(DURATION) > 0 and model.pending_bytes() >= 0
    sampled = model.sampled_positions(frames)
    assert sampled.shape == (model.n_codebooks, model.n_steps(DURATION))
    assert (sampled.sum(1) == frames).all() and sampled.device.type == "cpu"
    audio = model.to_audio(tokens)
    assert audio.shape == (2, round(frames / model.frame_rate * model.sample_rate))
    if isinstance(model, SymbolicGenerator):
        with pytest.raises(UserError, match="^notes cannot be read from audio"):
            model.to_tokens(audio, model.sample_rate)
    else:
        assert model.to_tokens(audio, model.sample_rate).shape == tokens.shape


def test_the_end_of_the_stream_gives_the_logits_and_the_tokens(model: Any) -> None:
    """Unembedded, put in order, and drawn from with the rows' own noise, the last stream gives the clip again."""
    name = Hook(model.n_layers - 1, "resid_post").name
    tokens, seen = edited(model, Hook.parse(name), lambda value: value, names=[name])
    streams = torch.stack([value[:, 0].unflatten(0, (model.halves, -1)) for value in seen[name]], dim=2)
    logits = model.unembedding().guided(streams, SETTINGS["sampling"].guidance)
    scored = model.forced_logits(list(PROMPTS), tokens, SETTINGS["sampling"])
    assert scored.shape == (*tokens.shape, model.card)
    frames = model.n_frames(DURATION)
    by_card = torch.nn.functional.pad(logits.permute(0, 2, 1, 3), (0, 0, 1, 0))  # before the first step is the start
    in_order = torch.stack(
        [model.to_frames((1000 * by_card[..., code]).round().long(), frames) for code in range(model.card)], dim=-1
    )
    torch.testing.assert_close(in_order / 1000, scored, atol=2e-3, rtol=1e-3)


def test_temperature_divides_forced_logits(model: Any) -> None:
    tokens = model.visit(list(PROMPTS), (), lambda *_: None, **SETTINGS)
    plain, warm = (model.forced_logits(list(PROMPTS), tokens, Sampling(temperature=t)) for t in (1.0, 2.0))
    torch.testing.assert_close(plain, 2 * warm)


def test_forced_tokens_and_prefixes_are_kept(model: Any) -> None:
    """A clip forced along itself is itself; its own prefix changes nothing, another's does, in what follows too."""
    plain = model.visit(list(PROMPTS), (), lambda *_: None, **SETTINGS)
    assert torch.equal(plain, model.visit(list(PROMPTS), (), lambda *_: None, forced=plain, **SETTINGS))
    assert torch.equal(plain, model.visit(list(PROMPTS), (), lambda *_: None, prefix=plain[..., :3], **SETTINGS))
    given = (plain[..., :4] + 1) % model.card
    given[1, :, 2:] = -1  # a row with a shorter one
    found = model.visit(list(PROMPTS), (), lambda *_: None, prefix=given, **SETTINGS)
    assert torch.equal(found[0, :, :4], given[0]) and torch.equal(found[1, :, :2], given[1, :, :2])
    assert not torch.equal(found[..., 4:], plain[..., 4:]) and (found >= 0).all()


def test_exit_layer_is_the_stream_after_it(model: Any) -> None:
    """To end after the first layer is to take its stream for the last one's."""
    first = Hook(0, "resid_post")
    kept: list[Tensor] = []

    def take(hook: Hook, _step: int, value: Tensor) -> Tensor | None:
        if hook == first:
            kept[:] = [value.clone()]
            return None
        return kept[0]

    end = Hook(model.n_layers - 1, "resid_post")
    ended = model.visit(list(PROMPTS), (), lambda *_: None, exit_layer=0, **SETTINGS)
    assert torch.equal(ended, model.visit(list(PROMPTS), (first, end), take, **SETTINGS))
    with pytest.raises(UserError, match="^exit layer 9 does not exist: this model has layers 0 to"):
        model.visit(PROMPTS[0], (), lambda *_: None, exit_layer=9, **SETTINGS)


def test_rows_do_not_know_their_neighbours(model: Any) -> None:
    """Packed, in another order, and beside an edited row: bit for bit, at every hook."""
    n = MIN_PASS + 3
    names = [Hook(1, point).name for point in model.points]
    plain, seen = edited(model, of(model, "attn.z"), lambda value: value, n, names)

    def last_row(value: Tensor) -> Tensor:
        out = value.clone()
        out.unflatten(0, (model.halves, -1))[:, -1] = 0
        return out

    for point in ("attn.z", "attn.pattern", "mlp_out"):
        tokens, other = edited(model, of(model, point), last_row, n, names)
        assert torch.equal(tokens[:-1], plain[:-1]) and not torch.equal(tokens[-1], plain[-1]), point
        for name, values in other.items():
            for one, before in zip(values, seen[name], strict=True):
                one, before = (x.unflatten(0, (model.halves, -1))[:, :-1] for x in (one, before))
                assert torch.equal(one, before), (point, name)
    few, alone = edited(model, of(model, "attn.z"), lambda value: value, MIN_PASS, names)
    assert torch.equal(few, plain[:MIN_PASS])
    for name, values in alone.items():
        for one, before in zip(values, seen[name], strict=True):
            one, before = (x.unflatten(0, (model.halves, -1))[:, :MIN_PASS] for x in (one, before))
            assert torch.equal(one, before), name


# -- edits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", EDITABLE)
def test_its_own_value_put_back_changes_nothing(model: Any, point: str) -> None:
    """Bit for bit at every other hook as well, and so does a factor of one."""
    hook = of(model, point)
    tokens, seen = edited(model, hook, lambda value: value.clone())
    plain, before = edited(model, hook, lambda value: value)
    assert torch.equal(plain, model.visit(list(PROMPTS), (), lambda *_: None, seeds=[0, 1], **SETTINGS))
    assert torch.equal(tokens, plain)
    assert all(torch.equal(a, b) for name in seen for a, b in zip(seen[name], before[name], strict=True))


@pytest.mark.parametrize("point", ["attn.q", "attn.k", "attn.v", "attn.z", "attn.pattern", "cross_attn.v"])
def test_a_heads_edit_stays_in_its_head_row_and_half(model: Any, point: str) -> None:
    """At the first step, what other heads, rows and the other half have in that attention is what it was."""
    hook, row, head = of(model, point), 1, model.n_heads - 1
    first = []

    def one_head(value: Tensor) -> Tensor:
        out = value.clone()
        mine = out.unflatten(0, (model.halves, -1))[0, row]
        by_head = mine if hook.layout is Layout.pattern else mine.unflatten(-1, (model.n_heads, -1)).transpose(0, 1)
        by_head[head] *= -20
        first.append((value.clone(), out.clone()))
        return out

    tokens, seen = edited(model, hook, one_head)
    plain, before = edited(model, hook, lambda value: value)
    assert torch.equal(tokens[0], plain[0]) and not torch.equal(tokens[1], plain[1])
    assert torch.equal(seen[hook.name][0], first[0][1]) and torch.equal(before[hook.name][0], first[0][0])
    z = Hook(1, f"{point.split('.')[0]}.z").name
    moved = (seen[z][0] != before[z][0])[:, 0].unflatten(-1, (model.n_heads, -1)).any(-1)
    assert set(map(tuple, moved.nonzero().tolist())) <= {(row, head)} and (moved.any() or point in ("attn.q", "attn.k"))


def test_all_heads_silent_is_attention_silent(model: Any) -> None:
    """No output projection has a bias."""
    for attention in ("attn", "cross_attn")[: 1 + ("cross_attn_out" in model.points)]:
        heads, _ = edited(model, of(model, f"{attention}.z"), torch.zeros_like)
        whole, _ = edited(model, of(model, f"{attention}_out"), torch.zeros_like)
        assert torch.equal(heads, whole)
        plain, _ = edited(model, of(model, "resid_post"), lambda value: value)
        assert not torch.equal(heads, plain)


def test_keys_and_values_of_the_text_are_edited_for_a_step_only(made: Any) -> None:
    """An edit at the first step leaves the later ones with what was kept."""
    hook, steps = Hook(0, "cross_attn.v"), iter(range(10**6))
    _, seen = edited(made, hook, lambda value: value * 0 if next(steps) == 0 else value)
    first, second, *rest = seen[hook.name]
    assert not first.any() and second.any() and all(torch.equal(second, value) for value in rest)


def test_an_edited_key_is_remembered(model: Any) -> None:
    """Those of the music are kept for the queries that follow, as in TransformerLens."""
    hook, steps = of(model, "attn.k", 0), iter(range(10**6))
    _, seen = edited(model, hook, lambda value: value + 100 if next(steps) == 0 else value)
    _, before = edited(model, hook, lambda value: value)
    pattern = Hook(0, "attn.pattern").name
    assert not torch.allclose(seen[pattern][1], before[pattern][1])


# -- what the values mean ----------------------------------------------------------------------


def test_attention_is_what_its_parts_make(model: Any) -> None:
    """Patterns sum to one and are the softmax of q·k; z is pattern · v; the branch's output is z through out_proj."""
    if isinstance(model, SymbolicGenerator):
        model = made_symbolic(attention="plain")  # what relations add: tests/symbolic/test_relations.py
    tokens, cache = model.run_with_cache(list(PROMPTS), **SETTINGS)
    assert torch.equal(tokens, model.visit(list(PROMPTS), (), lambda *_: None, **SETTINGS))
    width = model.d_model // model.n_heads
    for layer in range(model.n_layers):
        for attention in ("attn", "cross_attn")[: 1 + ("cross_attn_out" in model.points)]:
            q, k, v, z, pattern = (cache[name, layer, attention] for name in ("q", "k", "v", "z", "pattern"))
            torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]))
            assert q.shape == z.shape == (model.halves, 2, model.n_steps(DURATION), model.n_heads, width)
            first = pattern.shape[-1] - q.shape[2] if attention == "attn" else 0  # keys of what stands before the music
            scores = torch.einsum("abshd,abkhd->abhsk", q, k) / width**0.5
            if attention == "attn":
                future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
                assert not pattern[..., first:].masked_select(future).any()
                scores = scores.masked_fill(future, -torch.inf)
            mine = pattern[..., first:]
            torch.testing.assert_close(mine / mine.sum(-1, keepdim=True), scores.softmax(-1), atol=1e-5, rtol=1e-4)
            if not first:
                torch.testing.assert_close(torch.einsum("abhsk,abkhd->abshd", pattern, v), z, atol=1e-5, rtol=1e-4)
            out = cache[f"{attention}_out", layer]
            torch.testing.assert_close(projection(model, layer, attention)(z.flatten(-2)), out, atol=1e-5, rtol=1e-4)


def projection(model: Any, layer: int, attention: str) -> torch.nn.Module:
    if isinstance(model, SecondGenerator):
        return model.layers[layer].out  # type: ignore[return-value]
    if isinstance(model, SymbolicGenerator):
        return model.decoder.layers[layer].out  # type: ignore[return-value]
    module = {"attn": "self_attn", "cross_attn": "cross_attention"}[attention]
    return getattr(model.musicgen.lm.transformer.layers[layer], module).out_proj


def test_streams_add_up(model: Any) -> None:
    _, cache = model.run_with_cache(list(PROMPTS), **SETTINGS)
    branches = [point for point in ("attn_out", "cross_attn_out", "mlp_out") if point in model.points]
    for layer in range(model.n_layers):
        total = cache["resid_pre", layer] + sum(cache[point, layer] for point in branches)
        torch.testing.assert_close(total, cache["resid_post", layer], atol=1e-5, rtol=1e-4)
    for below, above in pairwise(range(model.n_layers)):
        assert torch.equal(cache["resid_post", below], cache["resid_pre", above])
