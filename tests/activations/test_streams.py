"""Streams: the right values of every source, in constant memory, and the same bytes on disk however often killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mech_music.activations.shards import MANIFEST, read_stream, save_stream
from mech_music.activations.sources import Audio, Tokens, Unconditional
from mech_music.activations.streams import Chunk, Stream, stream
from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits, visitor
from mech_music.edits.row import Edit, Exit, Half, Prefix, Row
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.protocol import Visit
from mech_music.models.sampling import Sampling
from tests.activations.made import Arithmetic, number
from tests.conftest import PROMPTS
from tests.made_engine import engine, mean

HOOKS = ["blocks.0.hook_resid_pre", "blocks.1.attn.hook_z"]
ROWS = [Row("a" * (1 + place % 3), place) for place in range(50)]
SOON: dict[str, Any] = {"duration": 0.55}  # 5 frames, 6 steps


def chunks_of(source: Any, **how: Any) -> list[Chunk]:
    return list(stream(Arithmetic(), HOOKS, source, **{**SOON, **how}))


def wanted(rows: list[Row], tokens: Tensor, hook: str, n_steps: int) -> Tensor:
    """``[row, step, half]``."""
    identity = number([row.prompt for row in rows], torch.tensor([row.seed for row in rows]), tokens)
    steps, halves = torch.arange(n_steps) / 1024, torch.tensor([0.0, 0.5])
    return identity[:, None, None] + halves + steps[:, None] + Hook.parse(hook).layer / 4


# -- what is in it -----------------------------------------------------------------------------------


def test_every_row_once_with_its_own_values() -> None:
    """Whatever the budget: it decides the number of passes alone."""
    for budget, n_passes in ((1, 50), (20 * 2 * 64 * 4 * 12, 3), (2**30, 3)):
        chunks = chunks_of(ROWS, budget=budget)
        assert sorted(row.seed for chunk in chunks for row in chunk.rows) == list(range(50))
        assert len(chunks) == n_passes
        for chunk in chunks:
            tokens = torch.tensor([row.seed % 32 for row in chunk.rows])[:, None, None].expand(-1, 2, 5)
            for hook in HOOKS:
                values = chunk.values[hook]
                assert values.shape == (len(chunk.rows), 6, 2, 64) and values.dtype == torch.float32
                torch.testing.assert_close(values[..., 0], wanted(list(chunk.rows), tokens, hook, 6))
                assert (values == values[..., :1]).all()


@pytest.mark.parametrize(("half", "kept"), [(Half.cond, slice(0, 1)), (Half.uncond, slice(1, 2))])
def test_one_half_is_that_half(half: Half, kept: slice) -> None:
    for both, one in zip(chunks_of(ROWS), chunks_of(ROWS, half=half), strict=True):
        assert both.rows == one.rows
        assert all(torch.equal(both.values[hook][:, :, kept], one.values[hook]) for hook in HOOKS)


def test_given_tokens_are_read_along() -> None:
    given = np.random.default_rng(0).integers(0, 32, (11, 2, 7))
    prompts = ["ab" if place % 2 else "c" for place in range(11)]
    for told in (None, prompts):
        found = chunks_of(Tokens(given, told))
        rows = [row for chunk in found for row in chunk.rows]
        clips = [row.prefix.tokens for row in rows if row.prefix]
        places = [next(i for i in range(11) if (given[i] == clip).all()) for clip in clips]
        assert sorted(places) == list(range(11))
        assert [row.prompt for row in rows] == [told[place] if told else "" for place in places]
        values = torch.cat([chunk.values[HOOKS[1]] for chunk in found])
        assert values.shape[:2] == (11, 8), "as long as the tokens, not as the duration says"
        torch.testing.assert_close(values[..., 0], wanted(rows, torch.from_numpy(given[places]), HOOKS[1], 8))


def test_audio_is_encoded_clip_by_clip() -> None:
    audio = np.linspace(0, 3, 9, dtype=np.float32)[:, None].repeat(80, axis=1)
    (chunk,) = chunks_of(Audio(audio, sample_rate=80))
    tokens = torch.from_numpy((audio[:, None, :8] * 10).astype(int)).expand(-1, 2, -1)
    torch.testing.assert_close(chunk.values[HOOKS[0]][..., 0], wanted(list(chunk.rows), tokens, HOOKS[0], 9))


def test_nothing_is_drawn_under_the_null_condition() -> None:
    model = Arithmetic()
    (chunk,) = stream(model, HOOKS, Unconditional(12, seed=3), Half.uncond, **SOON)
    assert [(row.prompt, row.seed) for row in chunk.rows] == [("", 3 + place) for place in range(12)]
    assert model.guidances == {0.0}
    list(stream(model, HOOKS, ROWS, **SOON))
    assert model.guidances == {0.0, 3.0}


def test_clips_that_fail_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    (chunk,) = chunks_of([Row("a", 0), Row("!", 1), Row("b", 2)])
    assert [row.prompt for row in chunk.rows] == ["a", "b"] and "1 of 3 clips" in caplog.text
    assert all(len(values) == 2 for values in chunk.values.values())


def test_a_models_own_activations(made: HookedMusicGen) -> None:
    """Of generations; along their own tokens they are the same; of nothing, those of the null condition."""
    settings: dict[str, Any] = {"duration": 0.5, "sampling": Sampling(top_k=20)}
    hook = "blocks.1.hook_mlp_out"
    rows = [Row(prompt, 0) for prompt in PROMPTS]
    for chunk in stream(made, hook, rows, **settings):
        prompts = [row.prompt for row in chunk.rows]
        tokens, cache = made.run_with_cache(prompts, hook, **settings)
        torch.testing.assert_close(chunk.values[hook], torch.as_tensor(cache[hook]).permute(1, 2, 0, 3))
        (along,) = stream(made, hook, Tokens(tokens.numpy(), prompts), **settings)
        torch.testing.assert_close(along.values[hook], chunk.values[hook])
    (nothing,) = stream(made, hook, Unconditional(2), Half.uncond, **settings)
    (read,) = stream(
        made,
        hook,
        Tokens(made.generate(["", ""], seeds=[0, 1], duration=0.5, sampling=Sampling(20, 1.0, 0.0)).numpy()),
        Half.uncond,
        **settings,
    )
    torch.testing.assert_close(nothing.values[hook], read.values[hook])


def test_rows_are_streamed_with_their_edits_and_prefixes(made: HookedMusicGen) -> None:
    hook = "blocks.1.hook_mlp_out"
    settings: dict[str, Any] = {"duration": 0.5, "sampling": Sampling(top_k=20)}
    n_steps = made.n_steps(0.5)

    def edits(rows: Sequence[Row]) -> tuple[Sequence[Hook], Visit]:
        maps = compile_edits(rows, made, n_steps, lambda *_: torch.zeros(0), lambda *_: {})
        return tuple(maps), visitor(maps)

    given = Prefix.of(torch.randint(0, 64, (4, 5), generator=torch.Generator().manual_seed(0)).tolist())
    edit = Edit(hook, 0.0, frames=(3, 9), half=Half.cond)
    rows = [Row(PROMPTS[0], 0), Row(PROMPTS[0], 0, (edit,)), Row(PROMPTS[0], 0, prefix=given)]
    (chunk,) = stream(made, hook, rows, edits=edits, **settings)
    plain, edited, continued = chunk.values[hook]
    assert not edited[3:9, 0].any() and torch.equal(edited[:3], plain[:3]) and edited[9:].any()
    assert not torch.equal(continued[1:4], plain[1:4])
    (along,) = stream(made, hook, rows, **settings)
    assert torch.equal(along.values[hook][1], plain), "without a compiler, no edits"


def test_means_that_are_not_taken_are_one_line(made: HookedMusicGen, tmp_path: Path) -> None:
    own = engine(made, tmp_path)
    with pytest.raises(UserError, match=r"edit of 'blocks.0.attn.hook_z': means are taken at attn_out.*scale or patch"):
        own.passes.recording.resolve(mean("piano", 1), "blocks.0.attn.hook_z")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: chunks_of(Tokens(np.zeros((3, 5), int))), r"shape \[3, 5\], expected \[clip, codebook, frame\]"),
        (lambda: chunks_of(Tokens(np.zeros((3, 4, 5), int))), "4 codebooks.*it has 2 codebooks with tokens 0 to 31"),
        (lambda: chunks_of(Tokens(np.full((3, 2, 5), 32))), "from 32 to 32"),
        (lambda: chunks_of(Tokens(np.zeros((3, 2, 5), int), ["a"])), "3 clips are given with 1 prompts"),
        (lambda: chunks_of(Audio(np.zeros(5), sample_rate=80)), r"expected \[clip, sample\]"),
        (lambda: chunks_of([Row("a", 0, exit=Exit(HOOKS[0]))]), "has an exit"),
        (lambda: stream(Arithmetic(), "blocks.0.attn.hook_pattern", ROWS), "no single vector at each step"),
    ],
)
def test_what_cannot_be_streamed_is_one_line(make: Callable[[], object], told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        make()
    assert "\n" not in str(error.value)


# -- memory ------------------------------------------------------------------------------------------

_PEAK = """
import re, sys
from pathlib import Path
from mech_music.activations.streams import stream
from mech_music.edits.row import Row
from tests.activations.made import Arithmetic

n_vectors, hook = int(sys.argv[1]), "blocks.0.hook_resid_pre"
rows = [Row("a prompt", seed) for seed in range(n_vectors // 400)]
Path("/proc/self/clear_refs").write_text("5")  # importing took more
seen = sum(c.values[hook][..., 0].numel() for c in stream(Arithmetic(), hook, rows, duration=19.95, budget=2**24))
assert seen == n_vectors, seen
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_of(n_vectors: int) -> int:
    """Kilobytes that a process of its own takes at most while it streams."""
    done = subprocess.run([sys.executable, "-c", _PEAK, str(n_vectors)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured as Linux counts memory")
def test_memory_does_not_grow_with_the_vectors() -> None:
    few, many = peak_of(100_000), peak_of(1_000_000)
    assert many <= 1.1 * few, (few, many)


# -- on disk -----------------------------------------------------------------------------------------


def small(model: Any = None, **how: Any) -> Stream:
    return stream(model or Arithmetic(), HOOKS, how.pop("rows", ROWS), budget=5 * 2 * 2 * 64 * 4 * 6, **{**SOON, **how})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert save_stream(small(), tmp_path, "model") == len(small()) == 12
    for written, read in zip(small(), read_stream(tmp_path), strict=True):
        assert read.rows == written.rows and read.values.keys() == written.values.keys()
        for name, values in written.values.items():
            assert torch.equal(read.values[name], values.half().float())


def test_killed_and_gone_on_it_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_stream(small(), tmp_path / "whole", "model")
    made, chunk = [], Stream.chunk

    def stop(self: Stream, number: int) -> Chunk:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(number)
        return chunk(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Stream, "chunk", stop)
        save_stream(small(), tmp_path / "killed", "model")
    with pytest.raises(UserError, match="lacks 8 of 12 chunks: go on"):
        next(read_stream(tmp_path / "killed"))
    model = Arithmetic()
    assert save_stream(small(model), tmp_path / "killed", "model") == 8 == len(model.passes)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"rows": [*ROWS[:-1], Row("b", 49)]}, "source"),
        ({"half": Half.cond}, "half"),
        ({"sampling": Sampling(temperature=0.9)}, "sampling"),
        ({"duration": 0.75}, "duration"),
    ],
)
def test_another_stream_is_refused(tmp_path: Path, how: dict[str, Any], told: str) -> None:
    save_stream(small(), tmp_path, "model")
    before = contents(tmp_path)
    for other, model, kind, name in (
        (how, "model", "float16", told),
        ({}, "other", "float16", "model"),
        ({}, "model", "float32", "dtype"),
    ):
        with pytest.raises(UserError, match="holds another stream") as error:
            save_stream(small(**other), tmp_path, model, kind)
        assert name in str(error.value) and "\n" not in str(error.value)
    assert contents(tmp_path) == before


def test_damage_and_absence_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no stream in .*{MANIFEST}"):
        next(read_stream(tmp_path))
    save_stream(small(), tmp_path)
    shard = tmp_path / "000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(UserError, match="is damaged"):
        next(read_stream(tmp_path))


def test_values_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = Stream.chunk

    def large(self: Stream, number: int) -> Chunk:
        found = chunk(self, number)
        return Chunk(found.rows, {name: values + 1e5 for name, values in found.values.items()})

    monkeypatch.setattr(Stream, "chunk", large)
    with pytest.raises(UserError, match="too large for"):
        save_stream(small(), tmp_path)
    assert list(contents(tmp_path)) == [MANIFEST]
