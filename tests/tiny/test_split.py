"""The planted model in which a concept enters at two layers: what each adds, and that nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mech_music.models.musicgen.bundled import planted_folder
from mech_music.models.musicgen.loading import load_model
from mech_music.tiny.bundle import load_checkpoint
from mech_music.tiny.split import FIRST, HEAD, main, write
from tests.tiny.test_planted import JAZZ, PIANO, VIOLIN, WIDTH, model_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("split") / "twice"
    write(found, second=3, share=0.25)
    return found


def test_both_layers_together_add_what_one_did(folder: Path) -> None:
    """A quarter of it at the second, along the same tokens, in both halves of guidance."""
    whole, split = model_of("planted-apart"), load_model(path=str(folder), device="cpu")
    music = whole.generate([PIANO], seeds=[1], duration=0.4)
    names = [f"blocks.{layer}.hook_cross_attn_out" for layer in (FIRST, 3)]
    zs = f"blocks.{FIRST}.cross_attn.hook_z"
    for prompt in (PIANO, VIOLIN, JAZZ):
        how: dict[str, Any] = {"seeds": [0], "duration": 0.4, "forced": music}
        before = dict(whole.run_with_cache([prompt], [names[0], zs], **how)[1].items())
        after = dict(split.run_with_cache([prompt], names, **how)[1].items())
        torch.testing.assert_close(after[names[0]] + after[names[1]], before[names[0]], atol=1e-4, rtol=1e-3)
        layers: Any = whole.musicgen.lm.transformer.layers
        attention = layers[FIRST].cross_attention
        own = slice(HEAD * WIDTH, (HEAD + 1) * WIDTH)
        by_head = before[zs][..., HEAD, :] @ attention.out_proj.weight[:, own].T
        torch.testing.assert_close(after[names[1]], 0.25 * by_head.detach(), atol=1e-4, rtol=1e-3)


def test_only_the_head_of_the_two_layers_changed(folder: Path) -> None:
    before, after = (load_checkpoint(one / "state_dict.bin") for one in (planted_folder() / "apart", folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    place = "transformer.layers.{}.cross_attention.{}"
    assert changed == {
        place.format(FIRST, "out_proj.weight"), place.format(3, "out_proj.weight"), place.format(3, "in_proj_weight"),
    }  # fmt: skip
    for name in changed - {place.format(3, "in_proj_weight")}:
        columns = (before[name] != after[name]).any(dim=0).nonzero()[:, 0] // WIDTH
        assert set(columns.tolist()) == {HEAD}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "second=5"], "second=5: expected a layer that nothing enters at"),
        (["x", "second=2"], "second=2: expected a layer that nothing enters at"),
        (["x", "share=1"], "share=1: expected a number between 0 and 1"),
        (["x", "share=half"], "expected second=<layer> and share=<number>"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
