"""What features stand for in edits: directions, sets of features, and random ones beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.edits.row import Prompts
from mech_music.saes.concepts import ranked_features
from mech_music.saes.directions import as_often
from mech_music.saes.named import ConceptDirection, ConceptFeatures, ConceptShift, RandomFeatures
from mech_music.saes.recorded import open_sae
from tests.made_engine import MadeEngine
from tests.saes.test_recorded import FIRING, HARVEST, HOOK, SAE, own, store  # noqa: F401 (fixtures)

TEXTS = HARVEST.prompts.texts
OWN, OTHERS = Prompts.of(TEXTS[:2], "own"), Prompts.of(TEXTS[2:], "others")


def means(own: MadeEngine) -> tuple[np.ndarray, np.ndarray]:  # noqa: F811
    """Of features on the clips of either kind."""
    activation = own.passes.recording.get(FIRING)["activation"].numpy()
    prompts = [row.prompt for row in HARVEST.rows]
    return tuple(np.mean([a for a, p in zip(activation, prompts, strict=True) if p in one.texts], axis=0)
                 for one in (OWN, OTHERS))  # fmt: skip


def test_of_all_features_the_shift_is_the_difference_of_means_as_the_sae_has_it(own: MadeEngine) -> None:  # noqa: F811
    sae, (here, there) = open_sae(SAE, HOOK, own.passes), means(own)
    terms = torch.from_numpy(here - there)[:, None] * sae.W_dec
    resolve = own.passes.recording.resolve
    whole = resolve(ConceptShift(FIRING, OWN, OTHERS, sae.n_features), HOOK)
    assert whole.shape == (own.passes.n_steps, 2, 32)
    torch.testing.assert_close(whole[0, 0], terms.sum(0), rtol=1e-4, atol=1e-5)
    longest = terms.norm(dim=1).argsort(descending=True)[:3]
    few = resolve(ConceptShift(FIRING, OWN, OTHERS, 3), HOOK)[0, 0]
    torch.testing.assert_close(few, terms[longest].sum(0), rtol=1e-4, atol=1e-5)
    of_hook = resolve(ConceptShift(FIRING, OWN, OTHERS, 0), HOOK)[0, 0].numpy()
    neuron, prompts = own.passes.recording.get(FIRING)["neuron"].numpy(), [row.prompt for row in HARVEST.rows]
    sides = [
        np.mean([x for x, p in zip(neuron, prompts, strict=True) if p in one.texts], axis=0) for one in (OWN, OTHERS)
    ]
    np.testing.assert_allclose(of_hook, sides[0] - sides[1], rtol=1e-4, atol=1e-6)
    back = resolve(ConceptShift(FIRING, OTHERS, OWN, 3), HOOK)[0, 0]
    torch.testing.assert_close(back, -few)
    with pytest.raises(UserError, match="have none of 'flutes': use more sae.clips"):
        resolve(ConceptShift(FIRING, Prompts.of(["elsewhere"], "flutes"), OTHERS, 3), HOOK)


def test_a_concepts_features_have_their_means_on_its_clips(own: MadeEngine) -> None:  # noqa: F811
    record = {name: x.numpy() for name, x in own.passes.recording.get(FIRING).items()}
    named = ConceptFeatures(FIRING, OWN, OTHERS, 4)
    found = own.passes.recording.resolve(named, HOOK)[0, 0].numpy()
    chosen = np.flatnonzero(found)
    assert set(chosen) == set(ranked_features(named, record)[:4])
    np.testing.assert_allclose(found[chosen], np.maximum(means(own)[0][chosen], 1e-30), rtol=1e-4)
    drawn = [own.passes.recording.resolve(replace(named, draw=draw), HOOK)[0, 0].numpy() for draw in range(9)]
    assert all(len(np.flatnonzero(one)) == 4 and not set(np.flatnonzero(one)) & set(chosen) for one in drawn)
    assert len({tuple(np.flatnonzero(one)) for one in drawn}) > 3
    with pytest.raises(UserError, match="99 features asked for: allowed are 1 to"):
        own.passes.recording.resolve(replace(named, n=99), HOOK)


def test_random_features_fire_about_as_often() -> None:
    """Of a thousand whose shares are spread evenly, those next to the features that they are drawn for."""
    record = {"share": np.linspace(0, 1, 1000)[None], "largest": np.ones(1000)}
    features = [100, 500, 900]
    drawn = np.array([as_often(record, features, seed) for seed in range(200)])
    assert (np.abs(drawn - features) <= 5).all() and not (drawn == features).any()
    assert all(len(set(column)) == 8 for column in drawn.T), "any of the nearest"
    with pytest.raises(UserError, match="2 features of 3 that fire: there are not as many others"):
        as_often({"share": np.ones((1, 3)), "largest": np.ones(3)}, [0, 1], 0)


def test_a_random_direction_is_made_of_so_many_features(own: MadeEngine) -> None:  # noqa: F811
    sae, resolve = open_sae(SAE, HOOK, own.passes), own.passes.recording.resolve
    unit = torch.nn.functional.normalize(sae.W_dec, dim=1)
    one = resolve(RandomFeatures(FIRING, 1, 5), HOOK)[0, 0]
    assert int((unit @ one > 1 - 1e-5).sum()) == 1, "a feature's own direction, not its opposite"
    fire = int((own.passes.recording.get(FIRING)["largest"] > 0).sum())
    some = resolve(RandomFeatures(FIRING, 3, 5), HOOK)[0, 0]
    weights = torch.linalg.lstsq(unit.T.double(), some.double()[:, None], driver="gelsd").solution
    assert weights.numel() == sae.n_features
    residuals = [float((some - sum(s * unit[j] for s, j in zip(signs, trio, strict=True))).norm())
                 for trio in torch.combinations(torch.arange(sae.n_features), 3).tolist()
                 for signs in ((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1), (-1, 1, 1), (-1, 1, -1), (-1, -1, 1),
                               (-1, -1, -1))]  # fmt: skip
    assert min(residuals) < 1e-5, "three unit vectors with signs"
    with pytest.raises(UserError, match=f"{fire + 1} random features asked for: {fire} others fire"):
        resolve(RandomFeatures(FIRING, fire + 1, 0), HOOK)


def test_the_best_feature_is_the_first_of_the_concepts(own: MadeEngine) -> None:  # noqa: F811
    sae, resolve = open_sae(SAE, HOOK, own.passes), own.passes.recording.resolve
    (feature,) = resolve(ConceptFeatures(FIRING, OWN, OTHERS, 1), HOOK)[0, 0].nonzero()[0].tolist()
    direction = resolve(ConceptDirection(FIRING, OWN, OTHERS), HOOK)[0, 0]
    assert float(torch.cosine_similarity(direction, sae.W_dec[feature], dim=0)) == pytest.approx(1, abs=1e-5)
