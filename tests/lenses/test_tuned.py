"""Tuned lenses: their loss and measures by hand, what training gains, the same bytes each time, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor

from mech_music.edits.row import Fit, Prompts, Row, Translator
from mech_music.lenses.tuned import StreamRecorder, _least_squares, clips_of, divergence
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.prompts.declared import load_prompt_set
from mech_music.store import Store
from tests.made_engine import SHORT, engine

FIT = Fit(load_prompt_set().every_prompt, n_clips=24, n_held_out=6, steps=0, epochs=6, seed=0)
SMALL = Fit(load_prompt_set().every_prompt, n_clips=6, n_held_out=3, steps=5, epochs=2, seed=1)
POINTS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_mid", "blocks.2.hook_resid_post")
Record = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(made: HookedMusicGen, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Records by hook: the first layer's, one within a layer, and the end's own."""
    sources = {point: Translator(point, FIT) for point in POINTS}
    records = engine(made, tmp_path_factory.mktemp("store")).answers(sources.values()).records
    return {point: dict(records[source]) for point, source in sources.items()}


# -- what is trained on, and measured ----------------------------------------------------------------


def test_clips_held_out_have_other_prompts_and_other_noise() -> None:
    prompts = Prompts.of([f"prompt {number}" for number in range(10)])
    train, held_out = clips_of(Fit(prompts, 20, 4, 0, 1, 3))
    assert (len(train), len(held_out)) == (20, 4)
    assert len({*train, *held_out}) == 24, "few prompts are used again with other noise"
    assert not {row.prompt for row in train} & {row.prompt for row in held_out}
    assert not {row.seed for row in train} & {row.seed for row in held_out}
    assert clips_of(Fit(prompts, 20, 4, 0, 1, 3)) == (train, held_out)
    assert clips_of(Fit(prompts, 20, 4, 0, 1, 4))[1] != held_out


def test_streams_are_kept_clip_by_clip_and_steps_in_order() -> None:
    """Passes of 3 and 2 clips; each value tells its clip, step and half."""
    hook, n_steps, kept = Hook(0, "resid_post"), 9, 4
    recorder = StreamRecorder([hook], 5, n_steps, kept, seed=0)
    first = 0
    for n in (3, 2):
        recorder.begin_pass(n)
        clips = torch.arange(n) + first
        for step in range(n_steps):
            halves = torch.stack([clips * 100 + step, clips * 100 + step + 0.5], dim=1)
            recorder.see(hook, step, halves[:, :, None, None].expand(-1, -1, 1, 2))
        first += n
    found = recorder.streams(hook)
    assert found.shape == (5, kept, 2, 2)
    wanted = recorder.steps + 100 * torch.arange(5)[:, None]
    assert torch.equal(found[..., 0, 0], wanted.float())
    assert torch.equal(found[..., 1, 1], wanted + 0.5)
    assert all(len(set(steps)) == kept and sorted(steps) == steps for steps in recorder.steps.tolist())
    assert len({tuple(steps) for steps in recorder.steps.tolist()}) > 1, "drawn for each clip"


def test_divergence_is_the_relative_entropy() -> None:
    final, read = torch.randn(2, 7, 4, 16, generator=torch.Generator().manual_seed(0)) * 2
    valid = torch.rand(7, 4, generator=torch.Generator().manual_seed(1)) < 0.6
    valid[3], valid[4] = False, True
    p, q = softmax(final.numpy().astype(float), -1), softmax(read.numpy().astype(float), -1)
    nats, counted = rel_entr(p, q).sum(-1), valid.numpy()
    wanted = [nats[i][counted[i]].mean() if counted[i].any() else 0.0 for i in range(7)]
    np.testing.assert_allclose(divergence(final, read, valid).numpy(), wanted, rtol=1e-5)


def held_out_by_hand(made: HookedMusicGen, row: Row, point: str, translate: Any) -> dict[str, float]:
    """The measures of one clip alone, from a generation of its own, in float64 and with scipy."""
    lm: Any = made.musicgen.lm
    names = [point, "blocks.2.hook_resid_post"]
    settings = {"duration": SHORT.duration, "sampling": SHORT.sampling}
    _, cache = made.run_with_cache([row.prompt] * 4, names, seeds=[row.seed] * 4, **settings)
    frames = made.n_frames(SHORT.duration)
    # Codebook k is delayed by k steps: the pattern of MusicGen.
    sampled = np.array([[0 <= step - k < frames for k in range(lm.n_q)] for step in range(frames + lm.n_q - 1)])

    def logits(stream: Tensor) -> np.ndarray:
        normed = lm.out_norm(stream)
        return torch.stack([head(normed) for head in lm.linears], dim=2).numpy().astype(float)

    read, final = logits(translate(cache[point][:, 0])), logits(cache[names[1]][:, 0])
    halves = rel_entr(softmax(final, -1), softmax(read, -1)).sum(-1)
    guided_read, guided = (x[1] + 3 * (x[0] - x[1]) for x in (read, final))
    after = rel_entr(softmax(guided, -1), softmax(guided_read, -1)).sum(-1)
    steps = sampled.any(1)
    return {
        "kl": float(np.mean([half[step][sampled[step]].mean() for half in halves for step in np.flatnonzero(steps)])),
        "kl_guided": float(np.mean([after[step][sampled[step]].mean() for step in np.flatnonzero(steps)])),
        "agreement": float((guided.argmax(-1) == guided_read.argmax(-1))[sampled].mean()),
    }


@torch.no_grad()
def test_held_out_measures_are_those_of_their_own_prompts(made: HookedMusicGen, trained: dict[str, Record]) -> None:
    """In the order of the prompts, though passes are made by the length of prompts, and over many clips at once."""
    _, held_out = clips_of(FIT)
    lengths = [made.prompt_length(row.prompt) for row in held_out]
    assert lengths != sorted(lengths), "else the order of passes is that of the prompts"
    for point in POINTS[:2]:
        record = trained[point]
        weight, bias = torch.from_numpy(record["weight"]), torch.from_numpy(record["bias"])
        for lens, translate in (("decoder", lambda h: h), ("tuned", lambda h, w=weight, b=bias: h + h @ w.T + b)):
            wanted = [held_out_by_hand(made, row, point, translate) for row in held_out]
            for name in wanted[0]:
                found = record[f"{lens}_{name}"]
                relative, absolute = (0, 0.03) if name == "agreement" else (2e-3, 1e-6)  # near ties
                np.testing.assert_allclose(found, [line[name] for line in wanted], relative, absolute, err_msg=name)
                assert name == "agreement" or len(set(found.round(5))) == len(held_out)


# -- training ----------------------------------------------------------------------------------------


def test_training_brings_held_out_clips_nearer_to_the_end(trained: dict[str, Record]) -> None:
    for point in POINTS[:2]:
        for measure in ("kl", "kl_guided"):
            plain, tuned = trained[point][f"decoder_{measure}"], trained[point][f"tuned_{measure}"]
            assert (tuned < 0.5 * plain).all(), (point, measure, plain, tuned)
        assert trained[point]["tuned_agreement"].mean() > trained[point]["decoder_agreement"].mean()


def test_training_begins_with_the_least_squares() -> None:
    """NumPy's own, on streams far from the origin; the ridge takes a thousandth."""
    draw = np.random.default_rng(0)
    streams = draw.normal(5, 1, (1000, 12))
    final = streams + streams @ draw.normal(size=(12, 12)) - 2 + draw.normal(0, 0.1, (1000, 12))
    wanted, *_ = np.linalg.lstsq(np.c_[streams, np.ones(1000)], final - streams)
    weight, bias = _least_squares(torch.from_numpy(streams).float(), torch.from_numpy(final).float())
    np.testing.assert_allclose(weight.T, wanted[:-1], atol=0.01)
    np.testing.assert_allclose(bias, wanted[-1], atol=0.1)


def test_the_end_has_nothing_to_be_translated(trained: dict[str, Record]) -> None:
    record = trained[POINTS[2]]
    assert (record["decoder_kl"] == 0).all() and (record["decoder_agreement"] == 1).all()
    assert np.abs(record["weight"]).max() < 0.02 and np.abs(record["bias"]).max() < 0.02
    assert record["tuned_kl"].max() < 0.03 * trained[POINTS[0]]["decoder_kl"].mean()


def test_a_fit_gives_the_same_bytes_each_time(made: HookedMusicGen, tmp_path: Path) -> None:
    """In any company, whatever the packing and the number of processes; and other bytes from another seed."""
    sources = [Translator(point, SMALL) for point in POINTS[:2]]
    ways: list[dict[str, Any]] = [{}, {"pack": 4}, {"workers": 2}]
    found = [engine(made, tmp_path / str(i), **way).answers(sources).records for i, way in enumerate(ways)]
    found.append(engine(made, tmp_path / "alone").answers(sources[1:]).records)
    for records in found[1:]:
        for source, record in records.items():
            assert all(np.array_equal(values, found[0][source][name]) for name, values in record.items())
    other = Translator(POINTS[1], Fit(load_prompt_set().every_prompt, 6, 3, 5, 2, seed=2))
    (record,) = engine(made, tmp_path / "other").answers([other]).records.values()
    assert not np.array_equal(record["weight"], found[0][sources[1]]["weight"])


def test_killed_between_two_layers_it_goes_on_with_the_second(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Translator(f"blocks.{layer}.hook_resid_post", SMALL) for layer in range(2)]
    wanted = engine(made, tmp_path / "whole").answers(sources).records
    own, fitted = engine(made, tmp_path / "killed"), []
    fit = own.passes.recording.fit

    def stop(source: Translator, advance: Any) -> None:
        if fitted:
            raise KeyboardInterrupt
        fitted.append(source)
        fit(source, advance)

    monkeypatch.setattr(own.passes.recording, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        own.answers(sources)
    again = engine(made, tmp_path / "killed")
    assert [source in again.passes.recording for source in sources] == [True, False]
    rest, fit_again = [], again.passes.recording.fit
    monkeypatch.setattr(again.passes.recording, "fit", lambda *of: (rest.append(of[0]), fit_again(*of)))
    found = again.answers(sources).records
    assert (fitted, rest) == (sources[:1], sources[1:])
    for source in sources:
        assert all(np.array_equal(values, found[source][name]) for name, values in wanted[source].items())


def test_a_damaged_record_is_trained_again(made: HookedMusicGen, tmp_path: Path) -> None:
    source = Translator(POINTS[0], SMALL)
    wanted = engine(made, tmp_path).answers([source]).records[source]
    (path,) = (Store(tmp_path).place / "records").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    found = engine(made, tmp_path).answers([source]).records[source]
    assert all(np.array_equal(values, found[name]) for name, values in wanted.items())
