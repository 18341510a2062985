"""The cache object under TransformerLens' names, its parts, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.cache import ActivationCache
from tests.second_generator import SecondGenerator

PROMPTS = ["A happy tune.", "A sad tune.", "Drums."]


@pytest.fixture(scope="module")
def cache() -> ActivationCache:
    return SecondGenerator().run_with_cache(PROMPTS, duration=0.5)[1]


def test_keys(cache: ActivationCache) -> None:
    generator = SecondGenerator()
    assert cache.keys() == generator.hook_names == tuple(generator.hook_dict)
    assert len(cache) == len(list(cache)) == len(cache.items()) == len(cache.values())
    assert cache["blocks.2.hook_resid_post"] is cache["resid_post", 2] is cache["resid_post", -1]
    assert cache["blocks.0.attn.hook_z"] is cache["z", 0] is cache["z", 0, "attn"]
    assert "blocks.1.hook_mlp_out" in cache and ("z", 1, "cross_attn") not in cache and "nothing" not in cache
    assert cache["resid_post", 0].shape == (1, 3, 10, 24) and cache["pattern", 0].shape == (1, 3, 3, 10, 10)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("blocks.9.hook_resid_post", "^the cache has no 'blocks.9.hook_resid_post': it has blocks.0.hook_resid_pre"),
        (("resid_post", 3), "^layer 3 does not exist: this model has layers 0 to 2$"),
        (("z", 0, "cross_attn"), "^the cache has no 'blocks.0.cross_attn.hook_z': it has"),
        (("z", 0, "mlp"), "^unknown part of a layer 'mlp': expected attn or cross_attn$"),
    ],
)
def test_what_is_not_there_is_one_line(cache: ActivationCache, key: object, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        cache[key]  # type: ignore[index]
    assert "\n" not in str(caught.value)


def test_steps_and_rows(cache: ActivationCache) -> None:
    """Each shape at its own dimension; a single one keeps it."""
    part = cache.steps[2:5].rows[[2, 0]]
    assert torch.equal(part["resid_post", 1], cache["resid_post", 1][:, [2, 0], 2:5])
    assert torch.equal(part["q", 1], cache["q", 1][:, [2, 0], 2:5])
    assert torch.equal(part["pattern", 1], cache["pattern", 1][:, [2, 0], :, 2:5])
    assert cache.steps[-1].rows[1]["resid_post", 0].shape == (1, 1, 1, 24)
    for which, line in (("steps", "^the cache has steps 0 to 9, not "), ("rows", "^the cache has rows 0 to 2, not ")):
        with pytest.raises(UserError, match=line):
            getattr(cache, which)[10]


def test_keys_of_the_text_have_no_steps() -> None:
    values = {
        "blocks.0.cross_attn.hook_k": torch.randn(2, 3, 7, 4, 8),
        "blocks.0.hook_resid_pre": torch.randn(2, 3, 5, 32),
    }
    part = ActivationCache(values, 1).steps[1:2]
    assert part["k", 0, "cross_attn"].shape == (2, 3, 7, 4, 8) and part["resid_pre", 0].shape == (2, 3, 1, 32)


def test_stack(cache: ActivationCache) -> None:
    assert torch.equal(cache.stack("resid_post")[1], cache["resid_post", 1])
    assert cache.stack("resid_post").shape == (3, 1, 3, 10, 24) and cache.stack("z").shape == (3, 1, 3, 10, 3, 8)
    with pytest.raises(UserError, match="^the cache has no 'cross_attn.z' of any layer: it has blocks.0"):
        cache.stack("z", "cross_attn")


def test_to_a_device(cache: ActivationCache) -> None:
    assert {value.device.type for value in cache.to("meta").values()} == {"meta"}


def test_saved_and_loaded(cache: ActivationCache, tmp_path: Path) -> None:
    path = tmp_path / "new" / "activations.safetensors"
    part = cache.steps[::2].rows[1:]
    part.to("cpu").save(path)
    found = ActivationCache.load(path)
    assert found.keys() == part.keys() and found.n_layers == 3
    assert all(torch.equal(value, part[name]) for name, value in found.items())
    assert torch.equal(found["resid_post", -1], part["resid_post", -1])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    half = ActivationCache({"blocks.0.hook_mlp_out": torch.ones(2, 1, 3, 4, dtype=torch.bfloat16)}, 1)
    half.save(path)
    assert ActivationCache.load(path)["mlp_out", 0].dtype is torch.bfloat16


def test_a_file_that_is_none_is_one_line(cache: ActivationCache, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    cache.save(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-9])
    (tmp_path / "text").write_text("no tensors")
    save_file({"weight": torch.ones(2)}, tmp_path / "weights", metadata={"n_layers": "2"})
    save_file({"blocks.0.hook_mlp_out": torch.ones(2)}, tmp_path / "bare")
    for name in ("cut", "text", "weights", "bare", "missing"):
        with pytest.raises(UserError, match=rf"^'.*{name}' holds no activations \(.*\): give a file that") as caught:
            ActivationCache.load(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        cache.save(tmp_path / "file" / "activations")
