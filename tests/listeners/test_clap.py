"""CLAP, on an untrained checkpoint in the published format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.edits.row import Row
from mech_music.engine.answers import Answers
from mech_music.labels.protocol import ClipSet, Evidence
from mech_music.labels.registry import open_labeller
from mech_music.listeners.clap import Clap
from tests.composing import compose_run


def make_clap(folder: Path) -> Path:
    """Random weights, a tokenizer of letters: the files that `save_pretrained` leaves."""
    with quiet_imports(), torch.random.fork_rng():
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, RobertaTokenizerFast

        torch.manual_seed(0)
        text = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 32, "max_position_embeddings": 80}  # fmt: skip
        audio = {"spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4,
                 "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 1], "hidden_size": 16,
                 "patch_embed_input_channels": 1, "mlp_ratio": 2.0, "enable_fusion": False}  # fmt: skip
        ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
        ClapFeatureExtractor(
            feature_size=16, sampling_rate=16_000, hop_length=160, max_length_s=1, fft_window_size=400,
            frequency_max=8000, truncation="rand_trunc",
        ).save_pretrained(folder)  # fmt: skip
        letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", " ", *"abcdefghijklmnopqrstuvwxyz"]
        plain = Tokenizer(models.WordLevel({letter: place for place, letter in enumerate(letters)}, "<unk>"))
        plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        plain.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
        RobertaTokenizerFast(tokenizer_object=plain, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clap(tmp_path_factory.mktemp("clap"))


@dataclass
class Heard:
    """Clips whose sound is there."""

    audio: torch.Tensor
    sample_rate: int = 16_000


def noises(n: int, seconds: float = 0.6) -> Any:
    return Heard(0.1 * torch.randn(n, int(16_000 * seconds), generator=torch.Generator().manual_seed(0)))


def test_it_reads_what_transformers_reads(folder: Path) -> None:
    from transformers import ClapFeatureExtractor, ClapModel

    clips = noises(3)
    found = Clap(str(folder), None, None, "cpu").read(clips)["embedding"]
    with torch.no_grad():
        given = ClapFeatureExtractor.from_pretrained(folder)(
            list(clips.audio.numpy()), sampling_rate=16_000, return_tensors="pt"
        )
        features: Any = ClapModel.from_pretrained(folder).get_audio_features(**given)
        wanted = features.pooler_output.numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_texts_are_vectors_of_their_own(folder: Path) -> None:
    own = Clap(str(folder), None, None, "cpu")
    texts = own.encode(["guitar", "a violin"])
    assert texts.shape == (2, 12) and not np.allclose(texts[0], texts[1])
    np.testing.assert_array_equal(own.encode(["a violin"])[0], texts[1])


def test_a_clip_is_heard_alone_and_the_same_each_time(folder: Path) -> None:
    """Also one that is longer than the window, of which a part is drawn."""
    own, clips = Clap(str(folder), None, None, "cpu"), noises(3, 1.7)
    found = own.read(clips)["embedding"]
    np.random.seed(3)
    after: Any = np.random.get_state()
    alone = own.read(Heard(clips.audio[2:]))["embedding"]  # type: ignore[arg-type]
    np.testing.assert_array_equal(alone[0], found[2])
    now: Any = np.random.get_state()
    np.testing.assert_array_equal(now[1], after[1])


def test_its_id_is_its_content(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    own = Clap(str(folder), None, None)
    assert Clap(str(copy), None, None).id == own.id
    (copy / "preprocessor_config.json").write_text((copy / "preprocessor_config.json").read_text() + " ")
    assert Clap(str(copy), None, None).id != own.id


def test_what_cannot_be_read_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^no CLAP in '.*': config.json is missing"):
        Clap(str(tmp_path), None, None)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"^CLAP in '.*' cannot be loaded \(.*\): fetch its files again"):
        Clap(str(copy), None, None, "cpu").load()
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.linear1.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="text_projection.linear1.weight is missing"):
        Clap(str(copy), None, None, "cpu").load()


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="^CLAP 'nobody/nothing' cannot be fetched"):
        Clap(None, "nobody/nothing", None)


def test_the_labeller_calls_a_feature_by_the_nearest_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Clips whose embedding is a text's own, so that the cosine to it is 1."""
    own = Clap(str(folder), None, None, "cpu")
    monkeypatch.setattr("mech_music.listeners.registry.open_listener", lambda name, run: own)
    run = compose_run("task=sae_labels", "labeller=clap", "labeller.texts=[guitar,violin,flute]")
    labeller = open_labeller(run.labeller, run)
    written = own.encode([f"music with {text}" for text in ("violin", "guitar")])
    rows = [Row(f"{place}", 0) for place in range(8)]
    readings = {row.prompt: {"embedding": written[place // 4]} for place, row in enumerate(rows)}
    clips = ClipSet(rows, Answers({row: row.prompt for row in rows}, {"clap": readings}))
    labels = labeller.label(
        [Evidence(0, np.arange(4), np.arange(4, 8)), Evidence(1, np.arange(4, 8), np.arange(4))], clips
    )
    assert [one.text for one in labels] == ["violin", "guitar"] and labels[0].confidence == 1
    applies = labeller.applies(labels, clips, np.ones((2, 8), dtype=bool))
    np.testing.assert_allclose(applies[0, :4], 1, rtol=1e-5)
    assert (applies[0, 4:] < applies[0, :4]).all()
    assert labeller.listeners == ("clap",)
