"""Training on made-up vectors whose dictionary is known: it is found again, by each way of keeping features sparse; and
the bytes are the same, however often training was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mech_music.activations.shards import Anew, OnDisk, save_stream
from mech_music.activations.streams import Chunk
from mech_music.base.errors import UserError
from mech_music.edits.row import Half, Prompts, Row
from mech_music.saes.fitting import from_record, to_record, train, trainers_of, write_history
from mech_music.saes.named import Harvest, SaeFit, TrainedSae, Training
from mech_music.saes.objectives import dead_loss, errors_of_nested
from mech_music.saes.sae import About, Activation, Sae
from mech_music.saes.shuffle import Shuffle
from mech_music.saes.training import FIGURES, Scale, Trainer

HOOK, WIDTH, TRUE, ACTIVE = "blocks.0.hook_resid_post", 16, 24, 2
HARVEST = Harvest(Prompts.of(["a"]), 12, 0)
FIT = SaeFit(HARVEST, 32, ACTIVE, Training.topk, 0.0, 12, 128, 1e-2, 0, Half.cond)
CPU = torch.device("cpu")


def truth() -> Tensor:
    return torch.nn.functional.normalize(torch.randn(TRUE, WIDTH, generator=torch.Generator().manual_seed(9)), dim=1)


def vectors(n: int, seed: int) -> Tensor:
    """Two of the true directions each, about a mean that is not zero."""
    draw = torch.Generator().manual_seed(seed)
    places = torch.rand(n, TRUE, generator=draw).topk(ACTIVE, dim=1).indices
    sizes = torch.rand(n, ACTIVE, generator=draw) + 1
    return 5 * torch.zeros(n, TRUE).scatter(1, places, sizes) @ truth() + torch.linspace(-3, 3, WIDTH)


class MadeStream:
    """Twelve clips of 60 steps in three chunks; the unconditional half is another one's."""

    about: ClassVar[dict[str, str]] = {"source": "made"}

    def __len__(self) -> int:
        return 3

    def shape(self, number: int) -> tuple[int, int, int, int]:
        return 4, 60, 2, WIDTH

    def chunk(self, number: int) -> Chunk:
        halves = [vectors(4 * 60, 10 * number + half).view(4, 60, WIDTH) for half in range(2)]
        rows = [Row("a", 4 * number + clip) for clip in range(4)]
        return Chunk(rows, {HOOK: torch.stack(halves, dim=2)})


@pytest.fixture(scope="module")
def activations(tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    folder = tmp_path_factory.mktemp("stream")
    save_stream(MadeStream(), folder, dtype="float32")  # pyright: ignore[reportArgumentType]
    return OnDisk(folder)


def nothing(amount: float, words: str | None = None) -> None: ...


def fitted(fit: SaeFit, activations: OnDisk, folder: Path) -> Sae:
    source = TrainedSae(HOOK, fit)
    return train([source], activations, folder / "work", nothing, CPU)[source]


def unexplained(sae: Sae, x: Tensor) -> float:
    return float((x - sae(x)).square().sum() / (x - x.mean(0)).square().sum())


@pytest.mark.parametrize(
    ("training", "sparsity", "found", "left"),
    [(Training.topk, 0.0, 21, 0.1), (Training.batchtopk, 0.0, 17, 0.16), (Training.matryoshka, 0.0, 13, 0.25),
     (Training.relu, 1.0, 17, 0.45), (Training.jumprelu, 1.0, 10, 0.2)],
)  # fmt: skip
def test_the_true_dictionary_is_found(
    training: Training, sparsity: float, found: int, left: float, activations: OnDisk, tmp_path: Path
) -> None:
    sae = fitted(replace(FIT, training=training, sparsity=sparsity, epochs=40), activations, tmp_path)
    x = vectors(500, 99)
    cosines = (truth() @ sae.W_dec.T).max(dim=1).values
    assert int((cosines > 0.9).sum()) >= found
    assert unexplained(sae, x) < left
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(32))
    assert abs(float((sae.encode(x) > 0).sum(1).float().mean()) - ACTIVE) < 2.0


def test_batchtopk_is_used_vector_by_vector(activations: OnDisk, tmp_path: Path) -> None:
    sae = fitted(replace(FIT, training=Training.batchtopk), activations, tmp_path)
    assert sae.activation is Activation.jumprelu and sae.threshold is not None and (sae.threshold > 0).all()
    x = vectors(64, 5)
    assert torch.equal(sae.encode(x)[:8], sae.encode(torch.cat([x[:8], 100 * x[8:16]]))[:8])


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(activations: OnDisk, tmp_path: Path) -> None:
    fits = [replace(FIT, training=one, sparsity=0.1, epochs=2) for one in Training]
    sources = [TrainedSae(HOOK, fit) for fit in (*fits, replace(FIT, epochs=2, compute="bfloat16"))]
    whole = train(sources, activations, tmp_path / "whole", nothing, CPU)
    stopped = 0

    def stop(amount: float, words: str | None = None) -> None:
        nonlocal stopped
        stopped += amount == 1
        if stopped in (3, 9):  # in the first epoch and in the second
            stopped += 1
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(sources, activations, tmp_path / "work", stop, CPU, every=0)
    found = train(sources, activations, tmp_path / "work", stop, CPU, every=0)
    for source in sources:
        for name, tensor in to_record(whole[source]).items():
            assert tensor.tobytes() == to_record(found[source])[name].tobytes(), name


def test_what_is_noted_of_training_is_kept_when_it_is_stopped(activations: OnDisk, tmp_path: Path) -> None:
    source, taken = TrainedSae(HOOK, replace(FIT, epochs=10)), 0

    def stop(amount: float, words: str | None = None) -> None:
        nonlocal taken
        taken += amount == 1
        if taken == 30:
            taken += 1
            raise KeyboardInterrupt

    whole = trainers_of([source], activations, tmp_path / "whole", nothing, CPU)[source]
    with pytest.raises(KeyboardInterrupt):
        trainers_of([source], activations, tmp_path / "work", stop, CPU, every=0)
    history = trainers_of([source], activations, tmp_path / "work", nothing, CPU)[source].history
    assert history == whole.history and [line[0] for line in history] == [*range(20, whole.done, 20), whole.done]
    assert history[-1][1:] == [whole.figures[name] for name in FIGURES[1:]]
    assert history[-1][1] < history[0][1], "FVU falls"
    write_history(np.array(history), tmp_path)
    table = pd.read_csv(tmp_path / "training.csv")
    assert tuple(table.columns) == FIGURES and len(table) == len(history)


def test_the_first_features_of_a_matryoshka_make_do_alone(activations: OnDisk, tmp_path: Path) -> None:
    """A batchtopk of the same size leaves more when only half of its features are used."""
    x, left = vectors(500, 99), {}
    for training in (Training.batchtopk, Training.matryoshka):
        sae = fitted(replace(FIT, training=training, epochs=40), activations, tmp_path / training)
        features = sae.encode(x)
        features[:, 16:] = 0
        left[training] = float((x - sae.decode(features)).square().sum() / (x - x.mean(0)).square().sum())
    assert left[Training.matryoshka] < 0.8 * left[Training.batchtopk]


def test_nested_errors_by_hand() -> None:
    centred, features, decoder = torch.randn(6, 4), torch.rand(6, 8), torch.randn(8, 4)
    found = errors_of_nested(centred, features, decoder, [1, 4, 8])
    for end, error in zip((1, 4, 8), found, strict=True):
        torch.testing.assert_close(error, centred - features[:, :end] @ decoder[:end])


def test_products_in_bfloat16_are_near_those_in_float32(activations: OnDisk, tmp_path: Path) -> None:
    fits = [replace(FIT, epochs=30, compute=one) for one in ("float32", "bfloat16")]
    exact, coarse = (fitted(fit, activations, tmp_path / fit.compute) for fit in fits)
    x = vectors(500, 99)
    assert coarse.W_dec.dtype is torch.float32 and not torch.equal(exact.W_dec, coarse.W_dec)
    assert unexplained(coarse, x) < unexplained(exact, x) + 0.05


def test_side_by_side_is_as_alone(activations: OnDisk, tmp_path: Path) -> None:
    sources = [TrainedSae(HOOK, replace(FIT, n_features=n, epochs=1)) for n in (20, 32)]
    both = train(sources, activations, tmp_path / "both", nothing, CPU)
    assert torch.equal(both[sources[1]].W_enc, fitted(sources[1].fit, activations, tmp_path).W_enc)
    assert both[sources[0]].n_features == 20


def test_normalisation_is_folded_in() -> None:
    x = vectors(400, 1)
    scale = Scale.of(x, HOOK)
    z = scale(x)
    assert float(z.mean(0).abs().max()) < 1e-4 and float(z.square().mean()) == pytest.approx(1, rel=1e-4)
    trainer = Trainer(FIT, scale, 50, CPU)
    for _ in range(20):
        trainer.step(x[:128])
    of = {name: tensor.detach() for name, tensor in trainer._of.items()}
    pre = (z - of["b_dec"]) @ of["W_enc"] + of["b_enc"]
    features = torch.zeros_like(pre).scatter(1, pre.topk(ACTIVE).indices, pre.topk(ACTIVE).values.relu())
    wanted = (features @ of["W_dec"] + of["b_dec"]) * scale.scale + scale.mean
    torch.testing.assert_close(trainer.sae()(x), wanted, rtol=1e-4, atol=1e-4)


def test_mean_and_scale_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = vectors(1000, 4)
    monkeypatch.setattr("mech_music.saes.training._AT_ONCE", 64)
    scale = Scale.of(x, HOOK)
    torch.testing.assert_close(scale.mean, x.mean(0))
    assert scale.scale == pytest.approx(float((x - x.mean(0)).square().mean().sqrt()), rel=1e-5)


def test_dead_features_learn_what_the_others_leave() -> None:
    pre = torch.randn(10, 6, requires_grad=True)
    error, decoder = torch.randn(10, 4), torch.randn(6, 4, requires_grad=True)
    assert float(dead_loss(pre, error, decoder, torch.zeros(6, dtype=torch.bool))) == 0
    dead_loss(pre, error, decoder, torch.tensor([False, True, False, False, True, False])).backward()
    assert decoder.grad is not None and decoder.grad[[1, 4]].abs().sum() > 0
    assert decoder.grad[[0, 2, 3, 5]].abs().sum() == 0


@pytest.mark.parametrize(("value", "line"), [(torch.nan, "are not finite"), (1.5, "are constant")])
def test_activations_that_teach_nothing_are_one_line(value: float, line: str) -> None:
    with pytest.raises(UserError, match=f"{HOOK} {line}"):
        Scale.of(torch.full((9, WIDTH), value), HOOK)


@pytest.mark.parametrize("budget", [2**30, 2 * 240 * WIDTH * 4])
def test_each_vector_comes_once_an_epoch_in_another_order(activations: OnDisk, budget: int) -> None:
    shuffle = Shuffle(activations, [HOOK], Half.both, 24, 2, 3, budget)
    batches = [batch[HOOK] for batch in shuffle.batches()]
    assert len(batches) == len(shuffle) == 2 * 60
    epochs = torch.cat(batches[:60]), torch.cat(batches[60:])
    every = torch.cat([MadeStream().chunk(n).values[HOOK].reshape(-1, WIDTH) for n in range(3)])
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert not torch.equal(epoch, every)
        np.testing.assert_array_equal(np.unique(epoch.numpy(), axis=0), np.unique(every.numpy(), axis=0))
    assert all(torch.equal(a[HOOK], b) for a, b in zip(shuffle.batches(37), batches[37:], strict=True)), "from within"


@pytest.mark.parametrize("budget", [2**30, 2 * 240 * WIDTH * 4])
def test_without_a_disk_the_same_bytes_are_trained(
    tmp_path: Path, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where training is stopped, and each chunk is made once an epoch, or once where all of them fit in memory."""
    stream, made, stopped = MadeStream(), [0], [0]
    save_stream(stream, tmp_path / "stream", dtype="float16")  # pyright: ignore[reportArgumentType]
    sources = [TrainedSae(HOOK, replace(FIT, epochs=3)), TrainedSae(HOOK, replace(FIT, epochs=3, n_features=20))]
    whole = train(sources, OnDisk(tmp_path / "stream"), tmp_path / "whole", nothing, CPU, budget=budget)
    chunk = MadeStream.chunk

    def counted(self: MadeStream, number: int) -> Chunk:
        made[0] += 1
        return chunk(self, number)

    def stop(amount: float, words: str | None = None) -> None:
        stopped[0] += amount == 1
        if stopped[0] == 9:
            stopped[0] += 1
            raise KeyboardInterrupt

    monkeypatch.setattr(MadeStream, "chunk", counted)
    anew = Anew(stream)  # pyright: ignore[reportArgumentType]
    train(sources, anew, tmp_path / "once", nothing, CPU, budget=budget)
    assert made[0] == (3 if budget == 2**30 else 3 * 3), "the first block, of which the scale is told, is held"
    with pytest.raises(KeyboardInterrupt):
        train(sources, anew, tmp_path / "work", stop, CPU, every=0, budget=budget)
    found = train(sources, anew, tmp_path / "work", stop, CPU, every=0, budget=budget)
    for source in sources:
        for name, tensor in to_record(whole[source]).items():
            assert tensor.tobytes() == to_record(found[source])[name].tobytes(), name


def test_a_clip_that_fails_without_a_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chunk = MadeStream.chunk

    def lacking(self: MadeStream, number: int) -> Chunk:
        whole = chunk(self, number)
        return Chunk(whole.rows[1:], {hook: values[1:] for hook, values in whole.values.items()})

    monkeypatch.setattr(MadeStream, "chunk", lacking)
    with pytest.raises(UserError, match=r"not finite; .*engine\.keep_activations=true"):
        train([TrainedSae(HOOK, FIT)], Anew(MadeStream()), tmp_path, nothing, CPU)  # pyright: ignore[reportArgumentType]


def test_a_half_is_its_own(activations: OnDisk) -> None:
    uncond = Shuffle(activations, [HOOK], Half.uncond, 24, 1, 0)
    found = torch.cat([batch[HOOK] for batch in uncond.batches()])
    wanted = torch.cat([MadeStream().chunk(n).values[HOOK][:, :, 1].reshape(-1, WIDTH) for n in range(3)])
    np.testing.assert_array_equal(np.unique(found.numpy(), axis=0), np.unique(wanted.numpy(), axis=0))


def test_a_record_is_the_sae(activations: OnDisk, tmp_path: Path) -> None:
    for training in Training:
        sae = fitted(replace(FIT, training=training, sparsity=0.1, epochs=1), activations, tmp_path / training)
        record = {name: torch.from_numpy(np.asarray(x)) for name, x in to_record(sae).items()}
        x = vectors(9, 2)
        assert torch.equal(from_record(record, About())(x), sae(x))
