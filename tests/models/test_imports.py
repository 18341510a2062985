"""audiocraft without the libraries that a generation does not use, and whole for whoever uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mech_music.models import transformers_imports
from mech_music.models.musicgen import imports

UNUSED = {
    "audiocraft.metrics", "audiocraft.models.multibanddiffusion", "audiocraft.solvers", "av", "demucs", "dora",
    "flashy", "librosa", "matplotlib", "num2words", "scipy.stats", "spacy", "tensorboard", "timm", "torchmetrics",
    "scipy.optimize", "torch._dynamo", "wandb", "xformers",
}  # fmt: skip

GENERATE = f"""
import sys
from mech_music import load_classifier, load_model

model = load_model()
tokens = model.generate("a piano", duration=0.2)
load_classifier("tiny").logits(model.to_audio(tokens), model.sample_rate)
model.forced_logits("a piano", tokens)
assert not (loaded := {UNUSED} & sys.modules.keys()), loaded
"""

USE_THE_REST = """
import spacy, xformers, audiocraft
from audiocraft.models import AudioGen, MAGNeT, MultiBandDiffusion, MusicGen, musicgen
from audiocraft.modules import conditioners, transformer
assert audiocraft.__version__ == "1.3.0" and MusicGen is musicgen.MusicGen
assert audiocraft.solvers.MusicGenSolver and audiocraft.data.music_dataset.MusicDataset
assert [str(word) for word in conditioners.spacy.blank("en")("a piano")] == ["a", "piano"]
assert conditioners.num2words(12) == "twelve" and spacy.blank and xformers.__version__
import torch
from mech_music.models import transformers_imports
graph = torch._dynamo.trace_rules._allowed_callable_ids
assert transformers_imports._in_graph and all(id(fn) in graph for fn in transformers_imports._in_graph)
packed = torch.randn(2, 3, 4, requires_grad=True)
parts = transformer.ops.unbind(packed, dim=1)
assert all(torch.equal(part, own) for part, own in zip(parts, packed.unbind(1), strict=True))
assert parts[0].grad_fn.name() == "_UnbindBackward"  # xformers' own
from xformers.profiler import profiler
assert not transformer._is_profiled()
profiler._Profiler._CURRENT_PROFILER = "at work"
assert transformer._is_profiled()
"""


def test_a_generation_loads_what_it_uses_and_the_rest_is_there_for_others(tmp_path: Path) -> None:
    code = GENERATE + USE_THE_REST
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("release", ["1.2.0", "1.3.0"])
def test_another_release_and_a_loaded_audiocraft_are_imported_as_they_are(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "version", lambda _: release)
    if release != "1.3.0":
        monkeypatch.delitem(sys.modules, "audiocraft")
    monkeypatch.setattr(imports, "defer", lambda _: pytest.fail("it was rearranged"))
    imports._prepare.__wrapped__()


def test_another_transformers_is_imported_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_imports, "version", lambda _: "5.24.0")
    monkeypatch.delitem(sys.modules, "transformers.modeling_utils")
    monkeypatch.setattr(transformers_imports, "stand_ins", lambda _: pytest.fail("it was rearranged"))
    transformers_imports.import_models.__wrapped__()


def test_decorators_mean_the_same_once_something_is_compiled() -> None:
    @transformers_imports._disable(recursive=False)
    def not_compiled(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def whole(x: torch.Tensor) -> torch.Tensor:
        return not_compiled(x) * 2

    one = torch.ones(2)
    assert torch.equal(whole(one), 4 * one)
    compiled = torch.compile(whole, backend="eager")
    assert torch.equal(compiled(one), 4 * one)
    marked = transformers_imports._assume_constant_result(lambda: 3)
    assert marked() == 3 and marked._dynamo_marked_constant


def test_an_outline_is_left_empty_and_weights_are_not() -> None:
    with transformers_imports.outlines_left_empty():
        with torch.device("meta"):
            assert torch.nn.Embedding(2, 3).weight.is_meta
        torch.manual_seed(0)
        inside = torch.nn.Embedding(2, 3).weight
    torch.manual_seed(0)
    assert torch.equal(inside, torch.nn.Embedding(2, 3).weight)


def test_what_would_be_asked_of_xformers_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask is there or not, as audiocraft's own code says; with xformers' attention it makes its own."""
    from audiocraft.modules import transformer

    from mech_music.models.musicgen.attention import PreallocatedSelfAttention

    own = transformer.StreamingMultiheadAttention(8, 2, causal=True, memory_efficient=True)
    ours = transformer.StreamingMultiheadAttention(8, 2, causal=True, memory_efficient=True)
    ours.__class__ = PreallocatedSelfAttention
    for steps in (1, 2, 5):
        asked = (steps, torch.device("cpu"), torch.float32)
        assert (own._get_mask(*asked) is None) == (ours._get_mask(*asked) is None)
    monkeypatch.setattr(transformer, "_efficient_attention_backend", "xformers")
    assert type(ours._get_mask(5, torch.device("cpu"), torch.float32)).__name__ == "LowerTriangularMask"
