"""What training is said to take: beside what it takes, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.saes import estimate
from mech_music.saes.estimate import cost, must_fit
from mech_music.saes.named import Training
from mech_music.saes.training import Scale, Trainer
from tests.saes.test_training import CPU, FIT, HOOK, WIDTH, vectors

PUBLISHED = replace(FIT, n_features=32768, k=100, batch=1024, epochs=1)


@pytest.mark.parametrize("training", Training)
def test_weights_and_adams_state_are_what_a_trainer_has(training: Training) -> None:
    fit = replace(FIT, training=training, sparsity=0.1)
    x = vectors(512, 0)
    trainer = Trainer(fit, Scale.of(x, HOOK), 10, CPU)
    trainer.step(x[:128])
    state = trainer.state()
    planned = cost([fit], WIDTH, 512, 0)
    own = sum(one.numel() * 4 for name, one in state.items() if name.startswith("of."))
    moments = sum(one.numel() * 4 for name, one in state.items() if "exp_avg" in name)
    assert own <= planned.weights <= own + 4 * fit.n_features, "a threshold, if there is one"
    assert moments == 2 * own and planned.state == 4 * planned.weights


def test_a_batch_holds_what_is_kept_for_the_way_back_and_little_more() -> None:
    """Measured: the storage that autograd keeps, where matrices [vector, feature] are all that counts."""
    fit = replace(FIT, n_features=4096, batch=256)
    x = vectors(512, 0)
    trainer = Trainer(fit, Scale.of(x, HOOK), 10, CPU)
    trainer._idle += 100  # all are dead: the auxiliary loss has matrices of its own
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.step(x[: fit.batch])
    planned = cost([fit], WIDTH, 512, 0)
    assert 0.25 * planned.batch < sum(kept.values()) - planned.weights < planned.batch


def test_the_published_configuration_by_arithmetic() -> None:
    planned = cost([PUBLISHED], 1024, 63_172_593, 63_172_593 * 2 * 1024 * 2)
    assert planned.weights == 4 * (2 * 32768 * 1024 + 2 * 32768 + 1024)
    assert planned.weights == pytest.approx(268e6, rel=0.01) and planned.state == pytest.approx(1.07e9, rel=0.01)
    assert planned.disk == pytest.approx(259e9, rel=0.01)
    assert planned.steps == 61_691 and planned.flops == pytest.approx(2.12e16, rel=0.01)
    assert "weights 0.27 GB, with gradients and Adam 1.07 GB" in planned.told(1e13)
    assert "259 GB of disk; 2.1e+16 FLOPs in 61,691 steps, 35 min or more at 10,000 GFLOP/s" in planned.told(1e13)


def test_more_vectors_take_no_more_memory() -> None:
    few, many = (cost([PUBLISHED], 1024, n, n) for n in (10**6, 10**9))
    assert few.on_device == many.on_device and few.mixed == many.mixed and few.flops < many.flops


def test_what_cannot_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"training 1 SAE takes .* GB .*use a smaller sae.width or sae.batch") as error:
        must_fit(cost([replace(FIT, n_features=10**9)], WIDTH, 10**4, 0), CPU)
    assert "\n" not in str(error.value)
    both = cost([FIT, FIT], WIDTH, 10**4, 0, hooks=2)
    monkeypatch.setattr(estimate, "free_memory", lambda: both.on_device + both.mixed)
    must_fit(both, CPU)
    monkeypatch.setattr(estimate, "free_memory", lambda: both.on_device + both.mixed - 1)
    with pytest.raises(UserError, match="training 2 SAEs takes"):
        must_fit(both, CPU)
    monkeypatch.setattr(estimate, "free_on", lambda device: both.on_device - 1)
    with pytest.raises(UserError, match="cuda has 0.00 GB left"):
        must_fit(both, torch.device("cuda"))
