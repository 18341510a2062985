"""DecoderLens against audiocraft itself: a model cut off after a layer, and its norm and heads applied by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.edits.row import Edit, Exit, Fit, Half, Reading, Row
from mech_music.engine.passes import PassRunner, Settings
from mech_music.models.hooks import Layout
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import RowNoise, Sampling, sample_top_k
from mech_music.prompts.declared import load_prompt_set
from mech_music.store import Store
from tests.conftest import PROMPTS
from tests.made_engine import FIT, MadeSource, engine

with quiet_imports():
    import audiocraft.utils.utils
    from audiocraft.models.musicgen import MusicGen

SETTINGS = Settings(Sampling(top_k=20), duration=1.0)  # more steps than are drawn at once
ROWS = [Row(prompt, seed) for seed, prompt in enumerate((*PROMPTS[:2], PROMPTS[0]))]  # of one length
ABLATE = Edit("blocks.0.hook_mlp_out", 0.0)
# What a layer still adds to the stream after each point.
LATER = {"resid_mid": ("cross_attention", "linear2"), "resid_mid_cross": ("linear2",), "resid_post": ()}
EXITS = [(layer, point) for layer in (0, 1) for point in LATER]


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> MusicGen:
    """The same weights in audiocraft alone."""
    with quiet_imports():
        return MusicGen.get_pretrained(str(checkpoint), device="cpu")


def passes(made: HookedMusicGen, folder: Path) -> PassRunner:
    return PassRunner(MadeSource(made), Store(folder), SETTINGS)


def read(made: HookedMusicGen, folder: Path, rows: Sequence[Row]) -> Tensor:
    return passes(made, folder).tokens(rows)


def let_out(rows: Sequence[Row], hook: str, reading: Reading = Reading.free) -> list[Row]:
    return [replace(row, exit=Exit(hook, reading)) for row in rows]


def silence(_module: nn.Module, _inputs: object, output: Any) -> object:
    return (torch.zeros_like(output[0]), None) if isinstance(output, tuple) else torch.zeros_like(output)


@contextmanager
def cut(musicgen: MusicGen, layer: int, point: str, ablated: bool) -> Iterator[None]:
    """A model that ends after ``layer``, in which nothing is added after ``point``."""
    transformer = musicgen.lm.transformer
    layers: Any = transformer.layers
    with ExitStack() as stack:
        silent = [getattr(layers[layer], name) for name in LATER[point]] + [layers[0].linear2] * ablated
        for module in silent:
            stack.callback(module.register_forward_hook(silence).remove)
        stack.callback(setattr, transformer, "layers", layers)
        transformer.layers = nn.ModuleList(layers[: layer + 1])
        yield


def audiocraft_tokens(musicgen: MusicGen, rows: Sequence[Row], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """audiocraft's own ``LMModel.generate``, with our rows' noise in its sampler."""
    lm, steps = musicgen.lm, iter(range(10**6))
    prompts = [row.prompt for row in rows]
    noise = RowNoise(prompts, [row.seed for row in rows], (lm.n_q, lm.card), torch.device("cpu"))

    def race(probs: Tensor, num_samples: int) -> Tensor:
        return torch.argmax(probs / noise(next(steps)), dim=-1, keepdim=True)

    monkeypatch.setattr(audiocraft.utils.utils, "multinomial", race)
    attributes, _ = musicgen._prepare_tokens_and_attributes(prompts, None)
    frames = int(SETTINGS.duration * musicgen.frame_rate)
    return lm.generate(None, attributes, max_gen_len=frames, top_k=SETTINGS.sampling.top_k, cfg_coef=3.0)


# -- free-running ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ablated", [False, True])
def test_free_running_is_audiocraft_generating_with_the_layers_above_cut_off(
    made: HookedMusicGen, plain: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ablated: bool
) -> None:
    """All exits of a clip in one pass, with one noise."""
    rows = [replace(row, edits=(ABLATE,) * ablated) for row in ROWS]
    exits = [row for layer, point in EXITS for row in let_out(rows, f"blocks.{layer}.hook_{point}")]
    full = made.generate([row.prompt for row in ROWS], [row.seed for row in ROWS], SETTINGS.duration, SETTINGS.sampling)
    for (layer, point), found in zip(EXITS, read(made, tmp_path, exits).split(len(rows)), strict=True):
        with cut(plain, layer, point, ablated):
            assert torch.equal(found, audiocraft_tokens(plain, rows, monkeypatch)), (layer, point)
        assert not torch.equal(found, full)


def test_an_edit_above_the_exit_is_not_seen(made: HookedMusicGen, tmp_path: Path) -> None:
    """Nor is one in the exit's own layer but after its point; one at the point itself is."""
    for point, same in (("mlp_out", True), ("cross_attn_out", False)):
        edits = (Edit(f"blocks.1.hook_{point}", 0.0), Edit("blocks.2.hook_attn_out", 0.0))
        plain, edited = (
            read(made, tmp_path, let_out(rows, "blocks.1.hook_resid_mid_cross"))
            for rows in (ROWS, [replace(row, edits=edits) for row in ROWS])
        )
        assert torch.equal(plain, edited) is same
    at = [replace(row, edits=(Edit("blocks.1.hook_resid_post", 0.0, half=Half.cond),)) for row in ROWS]
    for lens in (None, FIT):
        leave = Exit("blocks.1.hook_resid_post", lens=lens)
        plain, edited = (read(made, tmp_path, [replace(row, exit=leave) for row in rows]) for rows in (ROWS, at))
        assert not torch.equal(plain, edited)


def test_layers_above_the_exit_are_not_computed(made: HookedMusicGen, tmp_path: Path) -> None:
    calls: Counter[int] = Counter()
    modules: list[tuple[int, Any]] = [
        (place, module)
        for place, layer in enumerate(made.musicgen.lm.transformer.layers)
        for module in (layer, layer.self_attn, layer.linear1)  # type: ignore[attr-defined]
    ]

    def count(place: int, *_: object) -> None:
        calls[place] += 1

    own = passes(made, tmp_path)
    with ExitStack() as stack:
        for place, module in modules:
            stack.callback(module.register_forward_hook(partial(count, place)).remove)
        own.tokens(let_out(ROWS, "blocks.1.hook_resid_mid"))
    assert calls == {0: 3 * own.n_steps, 1: 3 * own.n_steps}


# -- teacher-forced ----------------------------------------------------------------------------------


def by_hand(made: HookedMusicGen, streams: Tensor, rows: Sequence[Row]) -> Tensor:
    """audiocraft's norm and heads, guidance on logits, one step's noise at a time, the pattern undone."""
    lm = made.musicgen.lm
    noise = RowNoise([row.prompt for row in rows], [row.seed for row in rows], (lm.n_q, lm.card), made.device)
    frames = made.n_frames(SETTINGS.duration)
    pattern = lm.pattern_provider.get_pattern(frames)
    sequence = torch.full((len(rows), lm.n_q, frames + lm.n_q), lm.special_token_id)
    for step in range(streams.shape[2]):
        normed: Any = lm.out_norm(streams[:, :, step])  # type: ignore[operator]
        cond, uncond = torch.stack([head(normed) for head in lm.linears], dim=2)
        logits = uncond + 3.0 * (cond - uncond)
        sequence[..., step + 1] = sample_top_k(logits, noise(step), SETTINGS.sampling)
    return pattern.revert_pattern_sequence(sequence, special_token=-1)[0][..., :frames]


def streams_of(made: HookedMusicGen, rows: Sequence[Row]) -> dict[str, Tensor]:
    """Every residual stream of the generation, with the rows' own scaling."""
    seen: dict[str, list[Tensor]] = {}

    def keep(value: Tensor, hook: Any) -> None:
        seen.setdefault(hook.name, []).append(value.clone())

    scalings: list[Any] = [(edit.hook, lambda value, hook, by=edit.scale: value * by) for edit in rows[0].edits]
    settings = {"duration": SETTINGS.duration, "sampling": SETTINGS.sampling, "seeds": [row.seed for row in rows]}
    streams = [name for name, hook in made.hook_dict.items() if hook.layout is Layout.stream]
    made.run_with_hooks([row.prompt for row in rows], [*scalings, (streams, keep)], **settings)
    return {name: torch.stack(values, dim=2) for name, values in seen.items()}


@pytest.mark.parametrize("edits", [(), (ABLATE,), (Edit("blocks.0.hook_resid_post", -0.5),)])
@torch.no_grad()
def test_forced_reading_is_norm_and_heads_on_the_full_models_streams(
    made: HookedMusicGen, tmp_path: Path, edits: tuple[Edit, ...]
) -> None:
    """What an edit has left is read, also at the edited hook itself."""
    rows = [replace(row, edits=edits) for row in ROWS]
    names = [f"blocks.{layer}.hook_{point}" for layer, point in [*EXITS, (2, "resid_mid_cross"), (2, "resid_post")]]
    found = read(made, tmp_path, [row for name in names for row in let_out(rows, name, Reading.forced)])
    streams = streams_of(made, rows)
    for name, tokens in zip(names, found.split(len(rows)), strict=True):
        assert torch.equal(tokens, by_hand(made, streams[name], rows)), name
    distinct = len(names) - (edits == (ABLATE,))  # without its MLP, the first layer ends where its cross-attention does
    assert len({tokens.numpy().tobytes() for tokens in found.split(len(rows))}) == distinct


@torch.no_grad()
def test_unembedding_is_the_models_own(made: HookedMusicGen) -> None:
    lm, unembed = made.musicgen.lm, made.unembedding()
    stream = torch.randn(2, 5, made.d_model, generator=torch.Generator().manual_seed(0)) * 3 + 1
    normed: Any = lm.out_norm(stream)  # type: ignore[operator]
    logits = torch.stack([head(normed) for head in lm.linears], dim=2)
    torch.testing.assert_close(unembed(stream), logits)
    torch.testing.assert_close(unembed.guided(stream, 3.0), logits[1] + 3 * (logits[0] - logits[1]))


# -- the last layer, and what cannot be ----------------------------------------------------------------


def test_the_last_layer_is_the_model(made: HookedMusicGen, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"duration": SETTINGS.duration, "sampling": SETTINGS.sampling}
    prompts, seeds = [row.prompt for row in ROWS], [row.seed for row in ROWS]
    plain = made.generate(prompts, seeds, **settings)
    assert torch.equal(plain, made.generate(prompts, seeds, **settings, exit_layer=2))
    for reading in Reading:
        assert torch.equal(plain, read(made, tmp_path, let_out(ROWS, "blocks.2.hook_resid_post", reading)))


def test_the_last_layer_is_the_model_on_the_bundled_one(tmp_path: Path) -> None:
    from mech_music.models.musicgen.loading import Checkpoint
    from tests.composing import compose_run

    run = compose_run()
    voice = Checkpoint(run.model, "cpu")
    own = PassRunner(voice, Store(tmp_path), Settings(Sampling(), 1.0))
    last = f"blocks.{run.model.layers - 1}.hook_resid_post"
    ways = [let_out(ROWS, last, reading) for reading in Reading]
    plain, *found = own.tokens([*ROWS, *ways[0], *ways[1]]).split(len(ROWS))
    assert all(torch.equal(plain, tokens) for tokens in found)
    assert len({tokens.numpy().tobytes() for tokens in plain}) == len(ROWS)


@pytest.mark.parametrize(
    "leave",
    [
        Exit("blocks.3.hook_resid_post"),
        Exit("blocks.3.hook_resid_mid"),
        Exit("blocks.3.hook_resid_post", Reading.forced),
        Exit("blocks.3.hook_resid_post", lens=Fit(load_prompt_set().every_prompt, 4, 2, 0, 1, 0)),
    ],
)
def test_an_exit_that_does_not_exist_is_one_line(made: HookedMusicGen, tmp_path: Path, leave: Exit) -> None:
    with pytest.raises(UserError, match=rf"^hook '{leave.hook}': this model has layers 0 to 2$"):
        engine(made, tmp_path).outcomes([replace(ROWS[0], exit=leave)])


def test_an_exit_layer_that_does_not_exist_is_one_line(made: HookedMusicGen) -> None:
    for layer in (-1, 3):
        with pytest.raises(UserError, match=f"^exit layer {layer} does not exist: this model has layers 0 to 2$"):
            made.generate(["Play."], exit_layer=layer)
    assert made.n_layers == 3


def test_a_stream_that_is_not_finite_fails_its_own_clip_only(made: HookedMusicGen, tmp_path: Path) -> None:
    """Read below the edit that breaks the generation, the clip is still whole."""
    broken = (Edit("blocks.1.hook_mlp_out", float("1e38")),) * 2
    places = {f"blocks.{layer}.hook_resid_post": failed for layer, failed in ((0, False), (1, True))}
    for reading in Reading:
        rows = [
            replace(row, exit=Exit(name, reading))
            for name in places
            for row in (ROWS[0], replace(ROWS[1], edits=broken))
        ]
        failed = (read(made, tmp_path, rows) < 0).flatten(1).all(dim=1)
        assert failed.tolist() == [False, places["blocks.0.hook_resid_post"], False, places["blocks.1.hook_resid_post"]]
