"""What is recorded to evaluate an SAE, on an untrained model, against the same made in another way."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from mech_music.activations.recipes import Making
from mech_music.edits.row import Prompts
from mech_music.listeners.loudness import QUIET
from mech_music.listeners.loudness import Loudness as LoudnessListener
from mech_music.listeners.protocol import Clips
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.saes import loudness, monosemanticity, pooled, sampled, stability
from mech_music.saes.measured import Basis, Linear, Loudness, Meanings, Overlap, Pooled, Sampled
from mech_music.saes.named import Firing, Harvest, RandomSae, SaeFit, TrainedSae, Training
from mech_music.saes.pooling import pool
from tests.made_engine import MadeEngine, engine

HOOK = "blocks.1.hook_resid_post"
HARVEST = Harvest(
    Prompts.of([f"Compose a happy {genre} piece." for genre in ("rock", "jazz", "funk")]), 10, 0, "float32"
)
BASIS = replace(HARVEST, seed=50)
SAE = TrainedSae(HOOK, SaeFit(HARVEST, 12, 3, Training.topk, 0.0, 1, 16, 1e-2, 0))
OTHER = TrainedSae(HOOK, replace(SAE.fit, seed=1))
NEURONS, COMPONENTS = (Pooled(Basis(kind, BASIS), HOOK, HARVEST, ("mean", "peak")) for kind in Linear)
POOLED, OVERLAP = Pooled(SAE, HOOK, HARVEST), Overlap(SAE, OTHER, HOOK, HARVEST)
MEANINGS, LOUD = Meanings(SAE, HOOK, HARVEST, 4, 20), Loudness(SAE, HOOK, HARVEST)
Values = dict[Any, torch.Tensor]


@pytest.fixture(scope="module")
def own(made: HookedMusicGen, tmp_path_factory: pytest.TempPathFactory) -> MadeEngine:
    found = engine(made, tmp_path_factory.mktemp("store"))
    found.ensure([POOLED, NEURONS, COMPONENTS, OVERLAP, MEANINGS, LOUD, Firing(SAE, HOOK, HARVEST)])
    return found


def values(own: MadeEngine, harvest: Harvest = HARVEST) -> torch.Tensor:
    """``[clip, step, width]``, conditional half."""
    found = {row: x for chunk in own.stream(HOOK, harvest.rows) for row, x in zip(chunk.rows, chunk.values[HOOK], strict=True)}  # fmt: skip  # noqa: E501
    return torch.stack([found[row][:, 0] for row in harvest.rows])


def features(own: MadeEngine, sae: TrainedSae = SAE) -> torch.Tensor:
    return own.passes.sae(sae, HOOK).encode(values(own))


def record(own: MadeEngine, source: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in own.passes.recording.get(source).items()}


def test_features_are_pooled_clip_by_clip(own: MadeEngine) -> None:
    found = record(own, POOLED)
    for place, course in enumerate(features(own)):
        for name, wanted in pool(course, POOLED.poolings, 25.0).items():
            np.testing.assert_allclose(found[name][place], wanted, atol=1e-5, err_msg=name)
    assert found["onsets"].max() > 1


def test_neurons_and_components_are_about_the_mean_of_the_basis(own: MadeEngine) -> None:
    here, basis = values(own).double().numpy(), values(own, BASIS).flatten(0, 1).double().numpy()
    centred = here - basis.mean(0)
    np.testing.assert_allclose(record(own, NEURONS)["peak"], centred.max(1), atol=1e-4)
    along = record(own, COMPONENTS)["mean"]
    _, _, directions = np.linalg.svd(basis - basis.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(along[:, :5]), np.abs(centred.mean(1) @ directions[:5].T), atol=1e-3)
    variance = record(own, replace(COMPONENTS, poolings=("mean", "peak")))["peak"].std(0)
    assert variance[:4].mean() > variance[-4:].mean(), "by descending variance"


def test_the_nearest_decoder_and_the_steps_it_shares(own: MadeEngine) -> None:
    found = record(own, OVERLAP)
    here, there = (own.passes.sae(one, HOOK).W_dec.numpy() for one in (SAE, OTHER))
    cosines = here @ there.T / np.outer(np.linalg.norm(here, axis=1), np.linalg.norm(there, axis=1))
    np.testing.assert_array_equal(found["match"], cosines.argmax(1))
    np.testing.assert_allclose(found["cosine"], cosines.max(1), atol=1e-5)
    np.testing.assert_array_equal(found["mutual"], cosines.argmax(0)[found["match"]] == np.arange(12))
    a, b = ((features(own, one) > 0).flatten(0, 1).numpy() for one in (SAE, OTHER))
    for feature, match in enumerate(found["match"]):
        both, either = (a[:, feature] & b[:, match]).sum(), (a[:, feature] | b[:, match]).sum()
        np.testing.assert_allclose(found["iou"][feature], both / either if either else np.nan)


def test_an_sae_has_everything_in_common_with_itself_and_cosines_come_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    turned = 3 * rows[torch.arange(29, -1, -1)]
    monkeypatch.setattr(stability, "_BLOCK", 7)
    match, cosine, mutual = stability.nearest(rows, turned)
    assert match.tolist() == list(range(29, -1, -1)) and mutual.all()
    np.testing.assert_allclose(cosine, 1, atol=1e-6)
    _, chance, some = stability.nearest(rows, torch.randn(30, 8, generator=torch.Generator().manual_seed(1)))
    assert chance.max() < 0.98 and not some.all()


def test_tokens_stand_at_the_steps_that_sample_them(made: HookedMusicGen, own: MadeEngine) -> None:
    tokens = own.passes.recording.get(Sampled(HARVEST))["tokens"]
    outcomes = own.outcomes(HARVEST.rows)
    np.testing.assert_array_equal(tokens, np.stack([outcomes[row].tokens for row in HARVEST.rows]))
    n_steps = own.passes.n_steps
    at = sampled.by_step(tokens, made, n_steps)
    mask = made.sampled_positions(tokens.shape[2]).T
    assert ((at >= 0) == mask).all()
    for codebook in range(4):  # the delay pattern: one step later with each codebook
        for frame in range(tokens.shape[2]):
            assert (at[:, frame + codebook, codebook] == tokens[:, codebook, frame]).all()


def test_entropies_are_of_what_is_sampled_where_a_feature_fires(made: HookedMusicGen, own: MadeEngine) -> None:
    found, fired = record(own, MEANINGS), features(own) > 0
    at = sampled.by_step(own.passes.recording.get(Sampled(HARVEST))["tokens"], made, own.passes.n_steps)
    kinds = monosemanticity.clusters_of(made.unembedding(torch.float32).token_rows.numpy(), 4)
    assert kinds.shape == (4, made.card) and len(np.unique(kinds[0])) == 4
    np.testing.assert_array_equal(found["firings"], fired.sum((0, 1)))
    for feature in np.flatnonzero(found["firings"])[:6]:
        wanted = np.zeros((2, 4))
        for codebook in range(4):
            tokens = at[..., codebook][fired[..., feature] & (at[..., codebook] >= 0)].numpy()
            wanted[0, codebook] = scipy_entropy(np.bincount(tokens))
            wanted[1, codebook] = scipy_entropy(np.bincount(kinds[codebook][tokens]))
        np.testing.assert_allclose(found["entropies"][:, feature], wanted.mean(1), rtol=1e-5, atol=1e-6)


def test_nulls_deal_the_same_tokens_out(own: MadeEngine) -> None:
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, 50, size=(6, 9, 3))
    tokens[:, :2, 1] = -1
    tokens[3] = -1  # a clip that failed
    good = np.arange(6) != 3
    frames, clips = monosemanticity.dealt_out(tokens, good, 0)
    for dealt in (frames, clips):
        for codebook in range(3):
            assert sorted(dealt[..., codebook].ravel()) == sorted(tokens[..., codebook].ravel())
        assert ((dealt < 0) == (tokens < 0)).all() and (dealt != tokens).any()
    assert {tuple(clip.ravel()) for clip in clips} == {tuple(clip.ravel()) for clip in tokens}, "whole clips"
    assert {tuple(clip.ravel()) for clip in frames} != {tuple(clip.ravel()) for clip in tokens}


def simulated(meaning: float, n_features: int = 60) -> dict[str, np.ndarray]:
    """Random features on random tokens of 8 kinds; the first ten fire the more where the kind is their own."""
    draw = np.random.default_rng(3)
    tokens = draw.integers(0, 64, size=(40, 30, 2))
    kinds = np.tile(np.arange(64) // 8, (2, 1))
    rate = np.full((40, 30, n_features), 0.1)
    for feature in range(10):
        rate[..., feature] += meaning * (tokens[..., 0] // 8 == feature % 8)
    clip, step, feature = (draw.random(rate.shape) < rate).nonzero()
    fired = np.stack([clip * 30 + step, feature], axis=1)

    def entropies(these: np.ndarray) -> np.ndarray:
        return monosemanticity.entropies(fired, these.reshape(-1, 2), kinds, n_features)

    null = [[entropies(one) for one in monosemanticity.dealt_out(tokens, np.ones(40, bool), i)] for i in range(60)]
    return {
        "entropies": entropies(tokens),
        "null": np.moveaxis(np.array(null), 1, 0),
        "firings": np.bincount(feature, minlength=n_features),
    }


def test_features_of_a_kind_are_found_and_random_ones_are_not() -> None:
    found = monosemanticity.against_nulls(simulated(0.5))
    assert (found["R_q"][:10] < 0.01).all() and (found["R"] > found["R_null_high"])[:10].all()
    assert (found["R_q"][10:] < 0.05).mean() <= 0.05
    nothing = monosemanticity.against_nulls(simulated(0.0))
    assert (nothing["R_q"] > 0.05).all()
    assert nothing["R_null"].mean() > 0.3, "R is far from 0 where there is nothing"
    inside = (nothing["R"] >= nothing["R_null_low"]) & (nothing["R"] <= nothing["R_null_high"])
    assert 0.85 <= inside.mean() <= 1.0


def test_a_feature_that_never_fires_has_no_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    fired = np.array([[0, 1], [1, 1], [1, 3]])
    tokens = np.array([[0, 1], [2, -1]])
    kinds = np.array([[0, 0, 1], [0, 1, 1]])
    whole = monosemanticity.entropies(fired, tokens, kinds, 4)
    assert np.isnan(whole[:, [0, 2]]).all() and np.isnan(whole[:, 3]).all(), "3 has no token of the second codebook"
    np.testing.assert_allclose(whole[:, 1], [np.log(2) / 2, np.log(2) / 2])
    monkeypatch.setattr(monosemanticity, "_BLOCK", 6)
    np.testing.assert_array_equal(monosemanticity.entropies(fired, tokens, kinds, 4), whole)
    record = {"entropies": whole, "null": np.stack([[whole, whole]] * 2), "firings": np.array([0, 2, 0, 1])}
    assert np.isnan(monosemanticity.against_nulls(record)["R_q"][[0, 2, 3]]).all()


def test_levels_are_those_of_frames(made: HookedMusicGen) -> None:
    audio = torch.zeros(2, 64)
    audio[0, 16:32], audio[1, :] = 0.1, 1.0
    clips = Clips([], torch.zeros(2, 4, 4, dtype=torch.long), made)
    clips.__dict__["audio"] = audio
    np.testing.assert_allclose(
        LoudnessListener().read(clips)["db"], [[QUIET, -20, QUIET, QUIET], [0, 0, 0, 0]], atol=1e-4
    )


def test_features_go_along_with_loudness(own: MadeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels are drawn: an untrained codec's clips are all as loud."""
    assert set(record(own, LOUD)) == {"correlation", "correlation_null", "silence", "silent"}
    draw = np.random.default_rng(0)
    levels = draw.uniform(-80, 0, (HARVEST.n_clips, own.passes.n_steps - 3)).astype(np.float32)
    monkeypatch.setattr(loudness, "_levels", lambda source, making: torch.from_numpy(levels))
    found = loudness._Loudness().make([LOUD], Making(own.passes, 8, quiet=True))[LOUD]
    here = features(own)[:, : levels.shape[1]].numpy()
    for shift, name in ((0, "correlation"), (-1, "correlation_null")):
        for feature in range(12):
            course = here[..., feature].ravel()
            wanted = np.corrcoef(course, np.roll(levels, shift, 0).ravel())[0, 1] if course.any() else np.nan
            np.testing.assert_allclose(found[name][feature], wanted, atol=1e-4)
    assert np.isfinite(found["correlation"]).sum() > 3
    silent = levels < loudness.SILENT
    np.testing.assert_allclose(found["silent"], silent.mean())
    fired = (here > 0) & silent[..., None]
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found["silence"], fired.sum((0, 1)) / (here > 0).sum((0, 1)), atol=1e-6)


def test_turned_clips_have_as_many_firings_elsewhere(own: MadeEngine) -> None:
    found = record(own, Firing(SAE, HOOK, HARVEST))
    np.testing.assert_allclose(found["by_step"], (features(own) > 0).double().mean(0), atol=1e-6)
    np.testing.assert_allclose(found["by_shifted_step"].sum(0), found["by_step"].sum(0), atol=1e-5)
    assert (found["by_shifted_step"] != found["by_step"]).any()


def test_everything_that_decides_them_is_in_their_keys(own: MadeEngine) -> None:
    key = own.passes.recording.key
    changes: dict[Any, dict[str, Any]] = {
        POOLED: {"of": OTHER, "hook": "blocks.0.hook_mlp_out", "harvest": BASIS, "poolings": ("mean",)},
        OVERLAP: {"sae": OTHER, "other": RandomSae(SAE, 1), "hook": "blocks.0.hook_mlp_out", "harvest": BASIS},
        MEANINGS: {"sae": OTHER, "hook": "blocks.0.hook_mlp_out", "harvest": BASIS, "clusters": 5, "draws": 21},
        LOUD: {"sae": OTHER, "hook": "blocks.0.hook_mlp_out", "harvest": BASIS},
        Sampled(HARVEST): {"harvest": BASIS},
        Basis(Linear.neurons, HARVEST): {"kind": Linear.components, "harvest": BASIS},
    }
    for source, others in changes.items():
        assert set(others) == {part.name for part in fields(source)}
        named = [source, *(replace(source, **{name: value}) for name, value in others.items())]
        if not isinstance(source, Basis):
            assert len({key(one) for one in named}) == len(named)
    assert key(NEURONS) != key(COMPONENTS)


def test_the_same_bytes_in_another_store(made: HookedMusicGen, own: MadeEngine, tmp_path: Path) -> None:
    again = engine(made, tmp_path, workers=2)
    again.ensure([POOLED, OVERLAP, MEANINGS])
    for source in (POOLED, OVERLAP, MEANINGS, Sampled(HARVEST)):
        for name, values in record(again, source).items():
            assert values.tobytes() == record(own, source)[name].tobytes(), name
    assert pooled.moments  # recipes are registered by importing their modules
