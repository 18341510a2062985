"""An SAE spliced in: by hand, on its own rows, frames and half alone; and the tokens of a generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.compile import compile_edits
from mech_music.edits.row import Edit, Half, Row, Term
from mech_music.edits.splice import Change, How, Splice
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.saes.files import write_sae
from mech_music.saes.folder import find_sae
from mech_music.saes.named import ConceptFeatures, FeatureDirection, Firing, Harvest, RandomSae, SaeFile
from mech_music.saes.recorded import open_sae
from mech_music.saes.sae import About, Activation, Sae
from tests.edits.made import ModelShape, no_activations
from tests.made_engine import STUDY, engine

HOOK, WIDTH, N = "blocks.1.hook_resid_post", 32, 48
FILE = SaeFile("0" * 64, "nowhere")
HALVES = 2


def made_sae(seed: int = 0) -> Sae:
    draw = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(N, WIDTH, generator=draw), dim=1)
    bias = 0.1 * torch.randn(WIDTH, generator=draw)
    return Sae(directions.T.contiguous(), torch.zeros(N), directions, bias, Activation.topk, 6, None,
               About("made", "made", HOOK, HOOK))  # fmt: skip


SAE = made_sae()


KINDS = {
    Activation.topk: SAE,
    Activation.relu: replace(SAE, activation=Activation.relu, k=0),
    Activation.jumprelu: replace(
        SAE, activation=Activation.jumprelu, k=0, threshold=torch.linspace(0.1, 2.5, N)
    ),  # as batchtopk is used
}
FIRING = Firing(FILE, HOOK, Harvest(STUDY.every_prompt, 5, 7, "float32"))
LEVELS = torch.zeros(N)
LEVELS[[3, 7, 20]] = torch.tensor([0.5, 2.0, 1.0])


def applied(edits: Sequence[Splice | None], value: Tensor, step: int = 0, sae: Sae = SAE) -> Tensor:
    """What becomes of a value ``[half·row, 1, width]``, one row an edit."""
    rows = [Row("a", place, (edit,) if edit else ()) for place, edit in enumerate(edits)]
    named = lambda *_: LEVELS.expand(9, HALVES, -1)  # noqa: E731 (the features that tell a concept)
    maps = compile_edits(rows, ModelShape(), 9, named, no_activations, lambda *_: sae)
    for edit in maps.get(Hook.parse(HOOK), ()):
        value = edit(step, value)
    return value


def values(n_rows: int) -> Tensor:
    return torch.randn(HALVES * n_rows, 1, WIDTH, generator=torch.Generator().manual_seed(5)) * 2


def test_with_the_error_and_no_changes_nothing_changes() -> None:
    value = values(3)
    assert torch.equal(applied([Splice(HOOK, FILE)] * 3, value), value)


def test_without_the_error_it_is_the_reconstruction() -> None:
    value = values(3)
    torch.testing.assert_close(applied([Splice(HOOK, FILE, error=False)] * 3, value), SAE(value))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [(Change(7, How.set, 4.0), lambda f: 4.0), (Change(7, How.scale, -2.0), lambda f: -2 * f),
     (Change(7, How.add, 1.5), lambda f: f + 1.5), (Change(7, How.zero), lambda f: 0.0)],
)  # fmt: skip
@pytest.mark.parametrize("error", [True, False])
def test_a_feature_is_changed(change: Change, wanted: Any, error: bool) -> None:
    value = torch.cat([values(1), 3 * SAE.W_dec[7][None, None].expand(1, 1, -1), values(1) + 3 * SAE.W_dec[7]])
    value = torch.cat([value, value]) if len(value) % 2 else value
    n = len(value) // 2
    features = SAE.encode(value)
    assert (features[..., 7] > 0).any() and (features[..., 7] == 0).any()
    changed = features.clone()
    changed[..., 7] = wanted(features[..., 7])
    left = value - SAE(value) if error else 0
    found = applied([Splice(HOOK, FILE, (change,), error)] * n, value)
    torch.testing.assert_close(found, SAE.decode(changed) + left, rtol=1e-4, atol=1e-4)


def test_only_its_row_its_half_and_its_frames() -> None:
    value, edit = values(3), Splice(HOOK, FILE, (Change(3, How.set, 9.0),), True, (2, 5), Half.cond)
    for step in (1, 5):
        assert torch.equal(applied([None, edit, None], value, step), value)
    found = applied([None, edit, None], value, 4)
    untouched = [0, 2, 3, 4, 5]
    assert torch.equal(found[untouched], value[untouched]) and not torch.equal(found[1], value[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_bits_do_not_depend_on_its_neighbours(kind: Activation) -> None:
    """Nor on how many rows there are, or how strong theirs are: with every activation, each vector has its own
    threshold or its own k."""
    value, sae = values(20), KINDS[kind]
    edits = [Splice(HOOK, FILE, (Change(place, How.set, 2.0),), place % 2 == 0) for place in range(20)]
    whole, n_active = applied(edits, value, sae=sae), (sae.encode(value) > 0).sum(-1)
    assert (n_active < N).all() and (n_active > 0).all()
    if kind is not Activation.topk:
        assert len(n_active.unique()) > 5, "as many as a vector has, not as many as a batch"
    louder = value.clone()
    louder[[1, 21]] *= 50
    assert torch.equal(applied(edits, louder, sae=sae)[[0, 20]], whole[[0, 20]])
    for place in (0, 7, 19):
        alone = applied([edits[place]], value[[place, 20 + place]], sae=sae)
        assert torch.equal(alone, whole[[place, 20 + place]])


def test_the_features_of_a_concept_are_changed_at_once_and_in_order() -> None:
    """A change's value is in the unit of each one's own level; later changes see what earlier ones left."""
    value, named = values(4) * 2, ConceptFeatures(FIRING, STUDY.every_prompt, STUDY.every_prompt, 3)
    features, own = SAE.encode(value), LEVELS > 0
    assert (features[..., own] > 0).any()
    wanted = {
        (Change(named, How.zero),): features * ~own,
        (Change(named, How.set, 1.5),): torch.where(own, 1.5 * LEVELS, features),
        (Change(named, How.scale, 3.0), Change(named, How.add, 2.0)): torch.where(
            own, 3 * features + 2 * LEVELS, features
        ),
        (Change(named, How.add, 2.0), Change(7, How.zero)): torch.where(own, features + 2 * LEVELS, features)
        * (torch.arange(N) != 7),
    }
    found = [applied([Splice(HOOK, FILE, changes, error=False)] * 4, value) for changes in wanted]
    for one, changed in zip(found, wanted.values(), strict=True):
        torch.testing.assert_close(one, SAE.decode(changed), rtol=1e-4, atol=1e-4)
    mixed = applied([Splice(HOOK, FILE, changes, error=False) for changes in wanted], value)
    for row in range(4):
        assert torch.equal(mixed[[row, 4 + row]], found[row][[row, 4 + row]])


def test_a_feature_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(UserError, match="feature 48 does not exist; the SAE has 48, 0 to 47"):
        applied([Splice(HOOK, FILE, (Change(N, How.zero),))], values(1))


# -- in generations -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("sae")
    write_sae(SAE, place)
    return str(place)


def test_tokens_stay_with_the_error_and_change_with_a_feature(
    made: HookedMusicGen, folder: str, tmp_path: Path
) -> None:
    own, sae = engine(made, tmp_path), find_sae(folder)
    plain = Row("Compose a happy rock piece.", 3)
    edits = {
        "none": Splice(HOOK, sae),
        "set": Splice(HOOK, sae, (Change(5, How.set, 60.0),)),
        "without the error": Splice(HOOK, sae, error=False),
    }
    rows = {name: replace(plain, edits=(edit,)) for name, edit in edits.items()}
    found = own.outcomes([plain, *rows.values()])
    tokens = {name: found[row].tokens for name, row in rows.items()}
    assert (tokens["none"] == found[plain].tokens).all()
    assert (tokens["set"] != found[plain].tokens).any() and (tokens["without the error"] != tokens["set"]).any()
    assert own.rows_of([found[rows["set"]].key])[found[rows["set"]].key] == rows["set"], "read back from the store"


def test_a_features_direction_is_its_largest_activation_along_its_decoder(
    made: HookedMusicGen, folder: str, tmp_path: Path
) -> None:
    own, sae = engine(made, tmp_path), find_sae(folder)
    firing = Firing(sae, HOOK, Harvest(STUDY.every_prompt, 5, 7, "float32"))
    record = own.answers([firing]).records[firing]
    stream = own.stream(HOOK, firing.harvest.rows, Half.cond)
    x = {row: values[:, 0] for chunk in stream for row, values in zip(chunk.rows, chunk.values[HOOK], strict=True)}
    features = torch.stack([SAE.encode(x[row]) for row in firing.harvest.rows])
    torch.testing.assert_close(torch.from_numpy(record["activation"]), features.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(record["share"]), (features > 0).float().mean(1))
    torch.testing.assert_close(torch.from_numpy(record["by_step"]), (features > 0).float().mean(0))
    torch.testing.assert_close(torch.from_numpy(record["peak"]), features.amax(1), rtol=1e-4, atol=1e-5)
    at_peak = features.gather(1, torch.from_numpy(record["peak_step"]).long()[:, None])[:, 0]
    torch.testing.assert_close(at_peak, features.amax(1), rtol=1e-4, atol=1e-5)
    feature = int(features.amax((0, 1)).argmax())
    direction = own.passes.recording.resolve(FeatureDirection(firing, feature), HOOK)
    wanted = features[..., feature].max() * SAE.W_dec[feature]
    torch.testing.assert_close(direction[4, 1], wanted, rtol=1e-4, atol=1e-5)
    steered = Row("Compose a sad trumpet tune.", 3, (Edit(HOOK, 1.0, (Term(9.0, FeatureDirection(firing, feature)),)),))
    found = own.outcomes([steered, replace(steered, edits=())])
    assert (found[steered].tokens != found[replace(steered, edits=())].tokens).any()
    idle = int((features.amax((0, 1)) == 0).nonzero()[0])
    with pytest.raises(UserError, match=f"feature {idle} never fires"):
        own.passes.recording.resolve(FeatureDirection(firing, idle), HOOK)
    with pytest.raises(UserError, match="feature 48 does not exist"):
        own.passes.recording.resolve(FeatureDirection(firing, N), HOOK)


def test_an_sae_of_another_hook_is_refused_before_anything_is_made(
    made: HookedMusicGen, folder: str, tmp_path: Path
) -> None:
    own = engine(made, tmp_path)
    elsewhere = Row("Compose a happy rock piece.", 3, (Splice("blocks.0.hook_resid_post", find_sae(folder)),))
    with pytest.raises(UserError, match=r"is of blocks.1.hook_resid_post, not of blocks.0.hook_resid_post"):
        own.outcomes([elsewhere])
    assert open_sae(find_sae(folder), HOOK, own.passes).about.model == "made"


def test_a_random_dictionary_is_as_large_and_as_sparse_and_its_own(
    made: HookedMusicGen, folder: str, tmp_path: Path
) -> None:
    own, sae = engine(made, tmp_path), find_sae(folder)
    first, again, other = (open_sae(RandomSae(sae, seed), HOOK, own.passes) for seed in (0, 0, 1))
    x = values(9)
    assert first.W_dec.shape == SAE.W_dec.shape and ((first.encode(x) > 0).sum(-1) <= SAE.k).all()
    assert torch.equal(first.W_dec, again.W_dec) and not torch.equal(first.W_dec, other.W_dec)
    torch.testing.assert_close(first.W_dec.norm(dim=1), torch.ones(N))


def test_everything_about_a_splice_is_in_the_rows_key() -> None:
    edit = Splice(HOOK, FILE, (Change(1, How.set, 2.0),), True, (2, 5), Half.cond)
    changes: dict[str, Any] = {
        "hook": "blocks.0.hook_resid_post",
        "sae": SaeFile("1" * 64, "nowhere"),
        "changes": (Change(1, How.add, 2.0),),
        "error": False,
        "frames": (2, 6),
        "half": Half.uncond,
    }
    assert {*changes, "heads"} == {part.name for part in fields(Splice)}
    others = [replace(edit, **{name: value}) for name, value in changes.items()]
    others += [replace(edit, changes=(Change(*one),)) for one in ((2, How.set, 2.0), (1, How.set, 3.0))]
    keys = {Row("a", 0, (one,)).key("") for one in [edit, *others]}
    assert len(keys) == 1 + len(others)
    elsewhere = replace(edit, sae=SaeFile("0" * 64, "elsewhere"))
    assert Row("a", 0, (elsewhere,)).key("") == Row("a", 0, (edit,)).key(""), "where a file lies decides nothing"
