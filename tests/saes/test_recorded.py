"""SAEs as sources, on an untrained model: trained once and found again, under a key that holds what decides them; and
what they do, against measures made in another way."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import mannwhitneyu

from mech_music.activations import recipes
from mech_music.base.errors import UserError
from mech_music.edits.content import canonical, from_json, to_json
from mech_music.edits.row import Edit, Half, Prompts, RandomDirection, Row, Term
from mech_music.edits.schedule import Course, Schedule, Scheduled
from mech_music.edits.splice import Change, How, Splice
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.saes.concepts import auroc, best_feature
from mech_music.saes.named import (
    ConceptDirection,
    ConceptFeatures,
    Firing,
    Harvest,
    RandomFeatures,
    SaeFit,
    SplicedIn,
    TrainedSae,
    Training,
)
from tests.made_engine import SHORT, MadeEngine, engine

HOOK, OTHER = "blocks.1.hook_resid_post", "blocks.0.hook_mlp_out"
GENRES = ("rock", "jazz", "funk", "folk", "soul")  # prompts of one length, so that they share a pass
HARVEST = Harvest(Prompts.of([f"Compose a happy {genre} piece." for genre in GENRES], "five"), 12, 0, "float32")
FIT = SaeFit(HARVEST, 24, 4, Training.topk, 0.0, 2, 16, 1e-2, 0)
SAE = TrainedSae(HOOK, FIT)
FIRING, SPLICED = Firing(SAE, HOOK, HARVEST), SplicedIn(SAE, HOOK, HARVEST)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def own(made: HookedMusicGen, store: Path) -> MadeEngine:
    found = engine(made, store)
    found.ensure([SPLICED, FIRING, TrainedSae(OTHER, FIT)])
    return found


def test_what_is_stored_is_found_without_a_model(own: MadeEngine, store: Path) -> None:
    again = engine(None, store).answers([SAE, FIRING, SPLICED]).records
    np.testing.assert_array_equal(again[SAE]["W_dec"], own.passes.recording.get(SAE)["W_dec"].numpy())
    assert not list((store / "v4").glob("training/*")), "no checkpoint is left"


def test_layers_share_one_reading_of_the_clips(made: HookedMusicGen, tmp_path: Path) -> None:
    found = engine(made, tmp_path)
    found.ensure([SAE, TrainedSae(OTHER, FIT)])
    (folder,) = (tmp_path / "v4" / "streams").glob("*/*")
    assert set(json.loads((folder / "stream.json").read_text())["hooks"]) == {HOOK, OTHER}
    found.ensure([TrainedSae(HOOK, replace(FIT, seed=5))])
    assert len(list((tmp_path / "v4" / "streams").glob("*/*"))) == 1, "another SAE reads what is there"


def test_what_cannot_fit_is_refused_before_anything_is_generated(made: HookedMusicGen, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training 1 SAE takes .* GB .*use a smaller sae.width"):
        engine(made, tmp_path).ensure([TrainedSae(HOOK, replace(FIT, n_features=10**9))])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_another_store_gives_the_same_bytes(made: HookedMusicGen, own: MadeEngine, tmp_path: Path) -> None:
    """Alone, and with chunks written by two processes."""
    found = engine(made, tmp_path, workers=2).answers([SAE]).records[SAE]
    for name, tensor in own.passes.recording.get(SAE).items():
        assert found[name].tobytes() == tensor.numpy().tobytes(), name


CHANGES: dict[str, Any] = {
    "harvest": replace(HARVEST, n_clips=11),
    "n_features": 25,
    "k": 5,
    "training": Training.batchtopk,
    "sparsity": 0.5,
    "epochs": 3,
    "batch": 17,
    "rate": 2e-2,
    "seed": 1,
    "half": Half.both,
    "compute": "bfloat16",
}


def test_everything_that_decides_an_sae_is_in_its_key(own: MadeEngine) -> None:
    assert set(CHANGES) == {part.name for part in fields(SaeFit)}
    key = own.passes.recording.key
    others = [replace(FIT, **{name: value}) for name, value in CHANGES.items()]
    harvests = {"prompts": Prompts.of(["a"]), "n_clips": 3, "seed": 4, "dtype": "bfloat16"}
    assert set(harvests) == {part.name for part in fields(Harvest)}
    others += [replace(FIT, harvest=replace(HARVEST, **{name: value})) for name, value in harvests.items()]
    sources = [SAE, TrainedSae(OTHER, FIT), *(TrainedSae(HOOK, fit) for fit in others)]
    assert len({key(source) for source in sources}) == len(sources)
    assert key(TrainedSae(HOOK, replace(FIT, harvest=replace(HARVEST, prompts=Prompts.of(HARVEST.prompts.texts))))) == (
        key(SAE)
    ), "what prompts are called does not matter"


def test_names_are_read_back(own: MadeEngine) -> None:
    direction = ConceptDirection(FIRING, Prompts.of(["a"]), Prompts.of(["b"]), 1)
    features = ConceptFeatures(FIRING, Prompts.of(["a"]), Prompts.of(["b"]), 2, 7)
    splice = Splice(HOOK, SAE, (Change(features, How.set, 2.0), Change(3, How.zero)))
    random = Term(-1.0, RandomFeatures(FIRING, 4, 1))
    scheduled = RandomDirection(Scheduled(splice, Schedule(Course.decay, 0.5)), 3, random)
    row = Row("a", 0, (Splice(HOOK, SAE), Edit(HOOK, 1.0, (Term(2.0, direction),)), scheduled))
    payloads: dict[str, Any] = {}
    written = to_json(row, payloads)
    found = from_json(json.loads(json.dumps(written)), payloads)
    assert found == row and canonical(found) == canonical(row)
    assert isinstance(found.edits[0].sae.fit.training, Training)


def test_rows_that_need_an_sae_have_it_trained(made: HookedMusicGen, tmp_path: Path) -> None:
    own, plain = engine(made, tmp_path), Row("Compose a happy rock piece.", 1)
    small = TrainedSae(HOOK, replace(FIT, harvest=Harvest(HARVEST.prompts, 8, 0), epochs=1))
    edited = replace(plain, edits=(Splice(HOOK, small),))
    found = own.outcomes([edited, plain])
    assert (found[edited].tokens == found[plain].tokens).all()
    assert small in own.passes.recording


def test_what_is_not_explained_is_that_of_its_own_clip_and_half(own: MadeEngine) -> None:
    record = own.passes.recording.get(FIRING)
    sae = own.passes.sae(SAE, HOOK)
    x = {row: values for chunk in own.stream(HOOK, HARVEST.rows) for row, values in zip(chunk.rows, chunk.values[HOOK], strict=True)}  # fmt: skip  # noqa: E501
    every = torch.stack([x[row] for row in HARVEST.rows]).double()
    assert not torch.equal(every[0], every[10]), "another seed"
    error = (every - sae(every.float()).double()).square().sum((1, 3))
    about = (every - every.mean((0, 1))).square().sum((1, 3))
    np.testing.assert_allclose(record["error"], error, rtol=1e-4)
    np.testing.assert_allclose(record["variance"], about, rtol=1e-4)
    np.testing.assert_allclose(record["l0"], (sae.encode(every[:, :, 0].float()) > 0).sum(-1).double().mean(1))
    np.testing.assert_allclose(
        record["covariance"], np.cov(every[:, :, 0].flatten(0, 1).T.numpy(), bias=True), rtol=1e-3, atol=1e-5
    )


@torch.no_grad()
def test_what_replacing_does_is_that_of_hooks_by_hand(made: HookedMusicGen, own: MadeEngine) -> None:
    record = own.passes.recording.get(SPLICED)
    sae, mean = own.passes.sae(SAE, HOOK), own.passes.recording.get(Firing(SAE, HOOK, SPLICED.harvest))["mean"]
    lm: Any = made.musicgen.lm
    row = SPLICED.harvest.rows[3]
    end, how = "blocks.2.hook_resid_post", {"duration": SHORT.duration, "sampling": SHORT.sampling}
    prompts, seeds = [row.prompt] * 8, [row.seed] * 8
    tokens, cache = made.run_with_cache(prompts, [end], seeds=seeds, **how)
    ways = {
        "sae": lambda value, hook: sae(value),
        "zero": lambda value, hook: torch.zeros_like(value),
        "mean": lambda value, hook: mean[:, None].expand_as(value),
    }
    frames = made.n_frames(SHORT.duration)
    valid = made.sampled_positions(frames).T.numpy()

    def logits(stream: torch.Tensor) -> np.ndarray:
        return torch.stack([head(lm.out_norm(stream)) for head in lm.linears], dim=2).numpy().astype(float)

    for way, replace_value in ways.items():
        seen: list[torch.Tensor] = []
        hooks = [(HOOK, replace_value), (end, lambda value, hook, seen=seen: seen.append(value[:, 0].clone()))]
        made.run_with_hooks(prompts, hooks, seeds=seeds, forced=tokens, **how)
        final, read = logits(cache[end][:, 0]), logits(torch.stack(seen, 1))
        nats = rel_entr(softmax(final, -1), softmax(read, -1)).sum(-1)
        wanted = [[half[step][valid[step]].mean() for step in np.flatnonzero(valid.any(1))] for half in nats]
        np.testing.assert_allclose(record[f"kl_{way}"][3], np.mean(wanted, axis=1), rtol=2e-3, atol=1e-5)


def test_auroc_is_mann_and_whitneys() -> None:
    draw = np.random.default_rng(0)
    values, positive = draw.integers(0, 6, size=(40, 3)).astype(float), draw.random(40) < 0.3
    for feature, found in enumerate(auroc(values, positive)):
        u = mannwhitneyu(values[positive, feature], values[~positive, feature]).statistic
        assert found == pytest.approx(u / (positive.sum() * (~positive).sum()))
    with_failed = np.concatenate([values, np.full((2, 3), np.nan)])
    np.testing.assert_array_equal(auroc(with_failed, np.append(positive, [True, False])), auroc(values, positive))
    assert np.isnan(auroc(values, np.zeros(40, dtype=bool))).all()


def test_features_are_ranked_by_what_they_tell() -> None:
    prompts = [f"p{number}" for number in range(4)]
    harvest = Harvest(Prompts.of(prompts), 8, 0)
    own = np.array([1, 1, 0, 0] * 2, dtype=float)
    activation = np.stack([-own, own + 0.1, 2 * own, np.array([1, 0, 0, 0] * 2)], axis=1)
    record = {"activation": activation, "largest": np.array([1.0, 1.0, 0.0, 3.0])}
    direction = ConceptDirection(Firing(SAE, HOOK, harvest), Prompts.of(prompts[:2]), Prompts.of(prompts[2:]))
    assert [best_feature(replace(direction, rank=rank), record) for rank in range(3)] == [1, 3, 0], "2 never fires"
    with pytest.raises(Exception, match="rank 3 of 3 features that fire: allowed are 0 to 2"):
        best_feature(replace(direction, rank=3), record)
    with pytest.raises(Exception, match=r"no feature can be found for 'flutes'.*more sae.clips"):
        best_feature(replace(direction, prompts=Prompts.of(["elsewhere"], "flutes")), record)


def test_recordings_come_after_what_they_need() -> None:
    groups = recipes.in_order([SPLICED, FIRING, TrainedSae(OTHER, FIT)])
    place = {source: number for number, group in enumerate(groups) for source in group}
    assert place[SAE] == place[TrainedSae(OTHER, FIT)] < place[FIRING] < place[SPLICED]
