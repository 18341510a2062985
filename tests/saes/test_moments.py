"""Along which clips features are shown, what their traces are, and what a decoder says, against other ways to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mech_music.activations.shards import read_stream
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.unembedding import Unembedding
from mech_music.saes.catalogue import feature_set, word_shares
from mech_music.saes.moments import DecoderReadout, Moments, chosen_clips, direct_logits, read_decoder
from tests.made_engine import MadeEngine, engine
from tests.saes.made_features import FIRING
from tests.saes.test_recorded import FIRING as OWN
from tests.saes.test_recorded import HOOK, SAE

SOURCE = Moments(FIRING, strongest=2, median=2, random=2)


def test_strongest_median_and_random_clips() -> None:
    peak = np.zeros((8, 3), np.float32)
    peak[:, 0] = [3, 9, 5, 7, 1, 8, 2, 4]  # fires in all
    peak[4, 1] = 2  # in one; the last feature in none
    clips = chosen_clips(SOURCE, peak)
    assert clips[0, :2].tolist() == [1, 5] and clips[0, 2:4].tolist() == [2, 7], "the 4th and 5th of 8"
    assert not set(clips[0, 4:].tolist()) & {1, 5, 2, 7} and len(set(clips[0].tolist())) == 6
    assert clips[1, :4].tolist() == [4, -1, -1, -1] and -1 not in clips[1, 4:] and 4 not in clips[1, 4:]
    assert clips[2, :4].tolist() == [-1] * 4 and len(set(clips[2, 4:].tolist())) == 2
    assert (chosen_clips(SOURCE, peak) == clips).all()
    assert (chosen_clips(replace(SOURCE, seed=1), peak)[:, :4] == clips[:, :4]).all()
    many = np.random.default_rng(0).random((40, 300)).astype(np.float32)
    assert len({int(one) for one in chosen_clips(SOURCE, many)[:, 4]}) > 20, "drawn for each feature anew"


def test_failed_clips_and_too_few_are_left_out() -> None:
    peak = np.ones((4, 2), np.float32)
    peak[1] = np.nan
    clips = chosen_clips(SOURCE, peak)
    assert 1 not in clips and clips[0].tolist()[:3] == [0, 2, 3] and clips[0].tolist()[3:] == [-1, -1, -1]


def test_traces_are_the_sae_s_own_activations(made: HookedMusicGen, tmp_path: Path) -> None:
    found = engine(made, tmp_path)
    source = Moments(OWN, strongest=2, median=1, random=1)
    readout = DecoderReadout(SAE, HOOK)
    records = found.answers([source, OWN, readout]).records
    record, firing = records[source], records[OWN]
    (stream,) = (tmp_path / "v4" / "streams").glob("*/*")
    values = {row: x for chunk in read_stream(stream) for row, x in zip(chunk.rows, chunk.values[HOOK], strict=True)}
    weights = {name: torch.from_numpy(np.asarray(x)).double() for name, x in records_of(found).items()}
    n_there = 0
    for feature, clips in enumerate(record["clip"]):
        for place, clip in enumerate(clips):
            if clip < 0:
                assert not record["trace"][feature, place].any()
                continue
            x = values[OWN.harvest.rows[clip]][:, 0].double()
            pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
            least = pre.topk(SAE.fit.k, dim=1).values[:, -1:]
            expected = pre.where(pre >= least, 0.0).relu()[:, feature].numpy()
            np.testing.assert_allclose(record["trace"][feature, place], expected, atol=2e-2)
            n_there += 1
        if clips[0] >= 0:
            assert record["trace"][feature, 0].max() == pytest.approx(firing["largest"][feature], rel=1e-3)
    assert n_there > 20 and record["trace"].dtype == np.float16
    of = feature_set(1, 3, 25.0, source, {}, records)
    assert of.n_frames == record["trace"].shape[2] - 3 and of.n_features == SAE.fit.n_features
    assert records[readout]["token"].shape == (SAE.fit.n_features, 4, 10)


def records_of(found: MadeEngine) -> dict[str, np.ndarray]:
    record = found.passes.recording.get(SAE)
    return {name: tensor.numpy() for name, tensor in record.items()}


def test_a_decoder_s_neighbours_and_direct_effect() -> None:
    torch.manual_seed(1)
    W_dec, norm, linears = 3 * torch.randn(300, 16), nn.LayerNorm(16), [nn.Linear(16, 20) for _ in range(2)]
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    unembed = Unembedding(norm, linears)
    found = read_decoder(W_dec, unembed, n_nearest=4, n_tokens=3)
    unit = (W_dec / W_dec.norm(dim=1, keepdim=True)).double().numpy()
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    assert (found["nearest"] == np.argsort(-cosines, axis=1, kind="stable")[:, :4]).all()
    np.testing.assert_allclose(found["cosine"], -np.sort(-cosines, axis=1)[:, :4], atol=1e-6)
    heads = [head.weight.detach().double() for head in linears]
    for feature in (0, 299):
        d = W_dec[feature].double()
        scaled = (d - d.mean()) / d.std(unbiased=False) * norm.weight.detach().double()
        for codebook, head in enumerate(heads):
            logits = (head @ scaled).numpy()
            assert found["token"][feature, codebook].tolist() == [*np.argsort(-logits)[:3], *np.argsort(logits)[:3]]
            np.testing.assert_allclose(found["effect"][feature, codebook, :3], -np.sort(-logits)[:3], atol=1e-4)
    assert 0.1 < found["random_cosine"][0] < 1 and (found["random_effect"] > 0).all()
    twice = direct_logits(2 * W_dec[:2], unembed)
    torch.testing.assert_close(twice, direct_logits(W_dec[:2], unembed), atol=1e-4, rtol=1e-4)


def test_shares_are_means_over_prompts() -> None:
    share = np.array([[0.2], [0.6], [0.4], [0.8], [1.0], [np.nan]], np.float32)
    prompts = ["a", "b", "c", "a", "b", "c"]
    happy = np.array([1, 1, 0, 1, 1, 0], bool)
    words, found = word_shares(share, prompts, {("mood", "happy"): happy, ("mood", "sad"): ~happy})
    assert [(word.text, word.n_prompts) for word in words] == [("all prompts", 3), ("happy", 2), ("sad", 1)]
    np.testing.assert_allclose(found[0, :, 0], [(0.5 + 0.8 + 0.4) / 3, 0.65, 0.4], atol=1e-6)
    half = 4.302653 * np.std([0.5, 0.8, 0.4], ddof=1) / 3**0.5  # Student's at two degrees of freedom
    np.testing.assert_allclose(found[1:, 0, 0], np.clip([1.7 / 3 - half, 1.7 / 3 + half], 0, 1), atol=1e-5)
    assert np.isnan(found[1:, 2]).all(), "one prompt has no interval"
