"""How alike layers are: against NumPy on the model's own streams, and CKA against its definition."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch

from mech_music.activations.similarity import MEASURES, compare, unbiased_cka
from mech_music.edits.row import Half, Similarity
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.prompts.declared import load_prompt_set
from tests.made_engine import SHORT, engine

STUDY = load_prompt_set()
N, POINT = 5, "resid_mid_cross"
HALVES = {Half.cond: [0], Half.uncond: [1], Half.both: [0, 1]}
Records = dict[Half, dict[str, np.ndarray]]


def dependence(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased HSIC by Gram matrices (Song et al., JMLR 2012, equation 5), as it stands there: nothing is centred."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    total = (
        np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return total / (n * (n - 3))


def alignment(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(float), y.astype(float)
    return dependence(x, y) / np.sqrt(dependence(x, x) * dependence(y, y))


@pytest.fixture(scope="module")
def recorded(made: HookedMusicGen, tmp_path_factory: pytest.TempPathFactory) -> Records:
    own = engine(made, tmp_path_factory.mktemp("store"))
    sources = {half: Similarity(POINT, STUDY.prompts_of(STUDY.concepts["jazz"], N), 0, half) for half in Half}
    records = own.answers(sources.values()).records
    return {half: dict(records[source]) for half, source in sources.items()}


@pytest.fixture(scope="module")
def streams(made: HookedMusicGen) -> np.ndarray:
    """``[clip, layer, half, step, d_model]``, each clip from a generation of its own."""
    names = [f"blocks.{layer}.hook_{POINT}" for layer in range(3)]
    settings = {"duration": SHORT.duration, "sampling": SHORT.sampling}
    clips, prompts = [], STUDY.concept_prompts(STUDY.concepts["jazz"], N)
    lengths = [made.prompt_length(prompt.text) for prompt in prompts]
    assert lengths != sorted(lengths), "else the order of passes is that of the prompts"
    for prompt in prompts:
        _, cache = made.run_with_cache([prompt.text] * 4, names, **settings)
        clips.append(np.stack([cache[name][:, 0].numpy() for name in names]))
    return np.stack(clips)


@pytest.mark.parametrize("half", list(Half))
def test_layers_are_compared_clip_by_clip(recorded: Records, streams: np.ndarray, half: Half) -> None:
    chosen = streams[:, :, HALVES[half]].astype(float)
    moved = np.roll(chosen, chosen.shape[3] // 2, axis=3)
    for role, others in (("layers", chosen), ("moved", moved)):
        for clip, (a, b) in product(range(N), combinations_with_replacement(range(3), 2)):
            x, y = chosen[clip, a], others[clip, b]
            lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
            first, later, half_way = chosen[clip, a], chosen[clip, b], chosen.shape[3] // 2
            halves = [(slice(half_way), slice(half_way, None)), (slice(half_way, None), slice(half_way))]
            parts = halves if role == "moved" else [(slice(None), slice(None))]
            means = [first[:, i].mean(axis=1) - later[:, j].mean(axis=1) for i, j in parts]
            wanted = {
                "distance_of_means": np.mean([np.linalg.norm(one, axis=-1).mean() for one in means]),
                "distance": np.linalg.norm(x - y, axis=-1).mean(),
                "cosine": ((x * y).sum(-1) / lengths).mean(),
                "cka": np.mean([alignment(i, j) for i, j in zip(x, y, strict=True)]),
            }
            for name, value in wanted.items():
                found = recorded[half][f"{role}_{name}"]
                assert found.shape == (N, 3, 3)
                assert found[clip, a, b] == found[clip, b, a] == pytest.approx(value, rel=1e-3, abs=2e-3), (role, name)


def test_a_layer_is_like_itself_but_not_like_itself_later(recorded: Records) -> None:
    record = recorded[Half.cond]
    diagonals = {name: values.diagonal(axis1=1, axis2=2) for name, values in record.items()}
    np.testing.assert_allclose(diagonals["layers_distance"], 0, atol=1e-6)
    np.testing.assert_allclose(diagonals["layers_cosine"], 1, atol=1e-5)
    np.testing.assert_allclose(diagonals["layers_cka"], 1, atol=1e-5)
    np.testing.assert_allclose(diagonals["layers_distance_of_means"], 0, atol=1e-6)
    assert (diagonals["moved_distance_of_means"] > 0.01).all(), "a mean over the whole clip would not notice"
    assert (record["layers_distance_of_means"] <= record["layers_distance"] + 1e-5).all(), "Jensen's inequality"
    assert (diagonals["moved_distance"] > 0.1).all()
    assert (diagonals["moved_cosine"] < 0.99).all()
    assert (diagonals["moved_cka"] < 0.9).all()


def test_recordings_do_not_depend_on_packing(made: HookedMusicGen, tmp_path: Path) -> None:
    source = Similarity(POINT, STUDY.prompts_of(STUDY.concepts["jazz"], N))
    found = [engine(made, tmp_path / str(n), n).answers([source]).records[source] for n in (1, 4, 128)]
    assert set(found[0]) == {f"{role}_{name}" for role in ("layers", "moved") for name in MEASURES}
    assert all(np.array_equal(values, record[name]) for record in found[1:] for name, values in found[0].items())


# -- CKA ---------------------------------------------------------------------------------------------


def test_dependence_is_the_mean_over_all_quadruples() -> None:
    """Equation 5 is a short way to a sum over four distinct samples (equation 4): both by hand, and ours."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(7, 3)), draw.normal(size=(7, 5))
    y[:, :3] += x

    def long_way(x: np.ndarray, y: np.ndarray) -> float:
        k, m = x @ x.T, y @ y.T
        quadruples = permutations(range(len(x)), 4)
        return float(np.mean([k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in quadruples]))

    assert dependence(x, y) == pytest.approx(long_way(x, y))
    wanted = long_way(x, y) / np.sqrt(long_way(x, x) * long_way(y, y))
    assert unbiased_cka(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(wanted)


def test_alignment_ignores_rotation_scale_and_place() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(20, 8))
    rotation, _ = np.linalg.qr(draw.normal(size=(8, 8)))
    turned = torch.from_numpy(3.7 * x @ rotation + 100)
    assert unbiased_cka(torch.from_numpy(x), turned) == pytest.approx(1)
    stretched = torch.from_numpy(x * np.array([9, 1, 1, 1, 1, 1, 1, 1]))
    assert unbiased_cka(torch.from_numpy(x), stretched) < 0.9


def test_unrelated_streams_are_not_alike_however_few_their_steps() -> None:
    """The biased measure would find about 0.9 here."""
    draw = torch.Generator().manual_seed(0)
    found = [unbiased_cka(*torch.randn(2, 12, 200, generator=draw)) for _ in range(100)]
    assert abs(np.mean(found)) < 0.05
    assert min(found) < 0 < max(found)


def test_a_stream_that_does_not_vary_has_no_alignment() -> None:
    still = torch.ones(1, 1, 10, 4)
    moving = torch.randn(1, 1, 10, 4, generator=torch.Generator().manual_seed(0))
    found = compare(torch.cat([still, moving]), torch.cat([still, moving]))
    assert np.isnan(found["cka"][0]).all() and np.isnan(found["cka"][:, 0]).all()
    assert found["cka"][1, 1] == pytest.approx(1)
    assert found["distance"][0, 0] == 0 and found["cosine"][0, 0] == pytest.approx(1)
