"""Memory by shape: against real models, and against what people know of their cards."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from mech_music.base import machine
from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.paths import conf_dir
from mech_music.engine.capacity import Capacity
from mech_music.models.musicgen.footprint import (
    CODEC_PARAMETERS,
    CODEC_SHAPE,
    PASST_PARAMETERS,
    PUBLISHED,
    T5_PARAMETERS,
    WIDE,
    Footprint,
    gigabytes,
)
from mech_music.models.musicgen.linear import arrange, can_arrange, make_arrangeable, still_to_arrange
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.protocol import MIN_PASS
from tests.published import SMALL, published_config

with quiet_imports():
    from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

    from mech_music.listeners import passt
    from mech_music.models.musicgen.build import outline

STEPS = 203  # of 4 s


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_are_those_of_the_module(dtype: str) -> None:
    """musicgen-small on the meta device, with audiocraft's own mixture of number formats."""
    config = OmegaConf.create(published_config(SMALL) | {"dtype": dtype})
    own = sum(value.numel() * value.element_size() for value in outline(config).state_dict().values())
    assert Footprint.of_config(config) == PUBLISHED["small"]
    assert PUBLISHED["small"].weight_bytes(dtype) == own + 4 * (768 + 1) * 1024  # and the text's projection
    assert PUBLISHED["small"].weight_bytes("bfloat16") == 2 * PUBLISHED["small"].parameters


def test_parts_beside_the_language_model() -> None:
    t5 = T5Config(vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
    codec = EncodecConfig(**CODEC_SHAPE)
    with torch.device("meta"):
        assert sum(value.numel() for value in T5EncoderModel(t5).parameters()) == T5_PARAMETERS
        assert sum(value.numel() for value in EncodecModel(codec).state_dict().values()) == CODEC_PARAMETERS
    assert sum(value.numel() for value in passt.PaSST(passt.PUBLISHED).parameters()) == PASST_PARAMETERS


def test_row_is_what_a_pass_keeps(made: HookedMusicGen) -> None:
    """The caches of a real pass of three rows, counted in the model's own streaming state."""
    prompts, kept = ["Compose a happy rock piece."] * 3, []

    def count(step: int) -> None:
        state = made.musicgen.lm.get_streaming_state()
        names = ("buffer_keys", "buffer_values", "kept_keys", "kept_values")
        kept.append(sum(value.numel() * value.element_size() for key, value in state.items() if key.endswith(names)))

    made.generate(prompts, duration=0.4, on_step=count)
    shape = Footprint(made.n_layers, made.d_model)
    assert kept[-1] == 3 * shape.row_bytes(made.n_steps(0.4), "float32", made.prompt_length(prompts[0]))


def test_rows_of_a_device() -> None:
    """A quarter is left free; what does not fit has no rows."""
    small, large = PUBLISHED["small"], PUBLISHED["large"]
    assert small.row_bytes(203, "float16") == 2 * 2 * 24 * (203 + 32) * 1024 * 2
    assert large.rows(4e9, 203, "float16") == 0
    rows = small.rows(8e9, 203, "float16")
    others = 4 * (T5_PARAMETERS + CODEC_PARAMETERS + PASST_PARAMETERS)
    used = small.weight_bytes("float16") + others + rows * small.row_bytes(203, "float16")
    assert 4e9 < used < 8e9


@pytest.mark.skipif(not can_arrange(torch.zeros(WIDE, WIDE)), reason="no oneDNN in this build of torch")
@pytest.mark.parametrize("melody", [False, True])
def test_second_copy_on_a_cpu(melody: bool) -> None:
    """What a wide model will arrange, counted in its modules; a narrow one arranges nothing."""
    config = OmegaConf.create(published_config(replace(SMALL, layers=2), melody=melody))
    lm = outline(config).to_empty(device="cpu")
    make_arrangeable(lm)
    assert still_to_arrange(lm) == 0, "not before it is asked for"
    arrange(lm)
    assert still_to_arrange(lm) == Footprint.of_config(config).arranged_bytes("float32") > 0
    small = PUBLISHED["small"]
    assert small.arranged_bytes("float16") == Footprint(2, 512).arranged_bytes("float32") == 0
    assert small.rows(20e9, STEPS, "float32", on_cpu=True) < small.rows(20e9, STEPS, "float32")


def test_no_room_for_the_smallest_pass(made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    least = MIN_PASS * made.row_bytes(4.0)
    monkeypatch.setattr(machine, "free_memory", lambda: least - 1)
    with pytest.raises(UserError, match="a pass of 8 rows, the smallest, needs") as caught:
        Capacity(made, 4.0, 0, 1)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(machine, "free_memory", lambda: least + 1)
    assert Capacity(made, 4.0, 0, 1).rows == MIN_PASS


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'audiocraft', 'omegaconf'}"
    code = f"import sys, mech_music.models.musicgen.footprint; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_documented_numbers_are_the_computed_ones() -> None:
    """Both tables of docs/memory.md."""
    page = (conf_dir().parent / "docs" / "memory.md").read_text()
    for name, shape in PUBLISHED.items():
        weights = " | ".join(gigabytes(shape.weight_bytes(dtype)) for dtype in ("float16", "bfloat16", "float32"))
        row = f"{shape.row_bytes(STEPS, 'float16') / 1e6:.0f} MB"
        file = f"{2 * shape.parameters / 1e9:.2f} GB"
        assert f"| {name} | {shape.parameters:,} | {file} | {weights} | {row} |" in page
        if not name.startswith("stereo"):
            rows = " | ".join(str(shape.rows(memory * 1e9, STEPS, "float16")) for memory in (8, 16, 24, 80, 141))
            assert f"| {name} | {rows} |" in page
