"""The decoder of fixed shapes gives the traced loop's tokens, and leaves to it what it does not serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits, visitor
from mech_music.edits.dense import Dense, dense
from mech_music.edits.row import Edit, Half, Row, Term
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from tests.made_engine import SHORT, engine, mean
from tests.test_engine import mixed_rows

SHIFT = (Term(1.0, mean("piano", 3)), Term(-1.0, mean("guitar", 3)))
PROMPT = "Compose a happy rock piece."
EDITS: list[tuple[Edit, ...]] = [
    (),
    (Edit("blocks.0.hook_resid_pre", -0.5),),
    (Edit("blocks.1.hook_attn_out", 0.3, SHIFT, half=Half.cond),),
    (Edit("blocks.2.hook_cross_attn_out", 0.0, SHIFT, frames=(3, 8)),),
    (Edit("blocks.0.hook_mlp_out", 0.0), Edit("blocks.0.hook_mlp_out", 1.0, SHIFT)),
    (Edit("blocks.2.hook_resid_post", 0.5, SHIFT, half=Half.uncond),),
    tuple(Edit(f"blocks.{layer}.hook_mlp_out", 2.0, SHIFT) for layer in range(3)),
    (Edit("blocks.1.hook_resid_post", -1.0, SHIFT, frames=(0, 1)),),
]
ROWS = [Row(PROMPT, seed, edits) for seed in (0, 1) for edits in EDITS]
HOW: dict[str, Any] = {
    "seeds": [row.seed for row in ROWS], "duration": SHORT.duration, "sampling": SHORT.sampling,
}  # fmt: skip


def both(made: HookedMusicGen, folder: Path, bucket: int = 0, **more: Any) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of `ROWS`, traced and by fixed shapes."""
    passes = engine(made, folder).passes
    steps = made.n_steps(SHORT.duration)
    maps = compile_edits(ROWS, made, steps, passes.recording.resolve, lambda rows, hooks: {})
    tables = dense(maps, 2 * len(ROWS), steps)
    assert tables is not None
    prompts, how = [PROMPT] * len(ROWS), HOW | more
    traced = made.visit(prompts, tuple(maps), visitor(maps), **how)
    return traced.numpy(), made.generate_static(prompts, tables, bucket, **how).numpy()


def test_the_same_tokens(made: HookedMusicGen, tmp_path: Path) -> None:
    traced, static = both(made, tmp_path)
    assert np.array_equal(traced, static)
    unedited = traced[:: len(EDITS)]
    changed = [not np.array_equal(row, unedited[number // len(EDITS)]) for number, row in enumerate(traced)]
    assert sum(changed) >= len(ROWS) - len(unedited) - 2  # every edit matters, or the test would prove nothing


@pytest.mark.parametrize("bucket", [4, 64])
def test_what_is_to_come_in_the_cache_is_not_seen(made: HookedMusicGen, tmp_path: Path, bucket: int) -> None:
    traced, static = both(made, tmp_path, bucket)
    assert np.array_equal(traced, static)


def test_a_prefix_is_continued(made: HookedMusicGen, tmp_path: Path) -> None:
    prefix = torch.arange(4 * 3).reshape(1, 4, 3) % 5
    traced, static = both(made, tmp_path, prefix=prefix)
    assert np.array_equal(traced, static) and (static[:, :, :3] == prefix.numpy()).all()


def test_a_row_that_is_not_finite_is_said_to_have_failed(made: HookedMusicGen) -> None:
    rows, steps = 8, made.n_steps(SHORT.duration)
    bank = torch.zeros(2, steps, made.d_model)
    bank[1, 3] = torch.nan
    choice = torch.zeros(steps, 2 * rows, dtype=torch.long)
    choice[:, 2] = 1
    table = Dense(torch.ones(steps, 2 * rows), choice, bank)
    found = made.generate_static(
        [PROMPT] * rows, {Hook(1, "mlp_out"): [table]}, seeds=0, duration=SHORT.duration, sampling=SHORT.sampling
    )
    assert [bool((row == -1).all()) for row in found] == [number == 2 for number in range(rows)]


def test_the_engine_serves_every_row_and_leaves_the_rest_to_the_traced_loop(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[int] = []
    plain = made.generate_static

    def counted(prompts: Any, *args: Any, **how: Any) -> Any:
        served.append(len(prompts))
        return plain(prompts, *args, **how)

    monkeypatch.setattr(made, "generate_static", counted, raising=False)
    affine = [row for row in mixed_rows() if all(isinstance(edit, Edit) for edit in row.edits) and not row.exit]
    others = [row for row in mixed_rows() if row not in affine and row.seed == 0]
    for rows, by_static in ((affine, True), (others, False)):
        folder = tmp_path / str(by_static)
        traced, static = engine(made, folder / "traced"), engine(made, folder / "static")
        static.passes.static = True
        served.clear()
        wanted, found = traced.outcomes(rows), static.outcomes(rows)
        assert bool(served) is by_static
        assert all(np.array_equal(wanted[row].tokens, found[row].tokens) for row in rows)
        assert all(wanted[row].key == found[row].key for row in rows)


def test_sampling_of_all_tokens(made: HookedMusicGen, tmp_path: Path) -> None:
    traced, static = both(made, tmp_path, sampling=Sampling(top_k=0, temperature=1.3, guidance=1.5))
    assert np.array_equal(traced, static)


def test_what_is_not_served_is_one_line(made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="generate_static takes no forced: use generate"):
        made.generate_static(PROMPT, {}, forced=torch.zeros(1, 4, 10, dtype=torch.long))
    monkeypatch.setattr(made.musicgen.lm.fuser, "cross_attention_pos_emb", True)
    assert not made.decodes_static
    with pytest.raises(UserError, match="use traced"):
        made.generate_static(PROMPT, {}, duration=SHORT.duration)
