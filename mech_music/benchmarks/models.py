"""The models that are measured: the bundled one, and one of musicgen-small's shape with random weights.

Both are checkpoint folders, so that audiocraft's loader and ours read the same files.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from mech_music.benchmarks.config import Shape
from mech_music.config import ClassifierConfig, ModelConfig
from mech_music.loading import Checkpoint, load_model
from mech_music.quiet import quiet_imports
from mech_music.tiny import bundle_dir, register_t5

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

    from mech_music.model import HookedMusicGen

FRAME_RATE = 25  # codec frames a second, of both models' codecs
GUIDANCE, TOP_K = 3.0, 250


@dataclass(frozen=True)
class Subject:
    """A checkpoint folder. ``name``: as the table calls it."""

    name: str
    folder: Path
    layers: int


def bundled() -> Subject:
    """The bundled tiny model."""
    return Subject("tiny", bundle_dir(), 8)


def make_random(shape: Shape, folder: Path) -> Subject:
    """Write a checkpoint of ``shape`` with random weights, in float16 like the published ones.

    Codec and text encoder have tiny's architecture, untrained; the codec has the shape's number of codes.
    """
    with quiet_imports():
        from audiocraft.models.builders import get_lm_model

        from mech_music.tiny import codec, language_model, text_encoder
        from mech_music.tiny.config import CodecConfig, LanguageModelConfig, TinyConfig
    lm = LanguageModelConfig(
        width=shape.width, layers=shape.layers, heads=shape.heads,
        text_width=shape.text_width, text_layers=shape.text_layers,
    )  # fmt: skip
    config = TinyConfig(codec=CodecConfig(codebook_size=shape.codes), language_model=lm)
    text_encoder.save(lm, folder / "t5")
    register_t5(folder / "t5")
    written = language_model.lm_config(config)
    written["conditioners"]["description"]["t5"]["finetune"] = False  # as published: T5 is not in the checkpoint
    with torch.random.fork_rng(), quiet_imports():
        torch.manual_seed(0)
        _save(folder / "state_dict.bin", get_lm_model(OmegaConf.create(written)), written)
        _save(folder / "compression_state_dict.bin", codec.build(config.codec), codec.codec_config(config.codec))
    return Subject(f"random {shape.layers} × {shape.width}", folder, shape.layers)


def _save(path: Path, model: nn.Module, config: dict[str, Any]) -> None:
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    torch.save({"best_state": state, "xp.cfg": OmegaConf.to_yaml(OmegaConf.create(config), resolve=False)}, path)


def duration(frames: int) -> float:
    """Seconds that every rounding takes for ``frames`` frames."""
    return (frames + 0.5) / FRAME_RATE


# -- audiocraft alone ------------------------------------------------------------------------------------


def load_plain(subject: Subject, device: torch.device, half: bool = False) -> MusicGen:
    """audiocraft's own MusicGen from its own loader, nothing of ours in it.

    In float32 on every device; ``half``: as audiocraft itself runs on a GPU (float16 weights, autocast).
    """
    with quiet_imports():
        from audiocraft.models.musicgen import MusicGen
        from audiocraft.utils.autocast import TorchAutocast

        register_t5(subject.folder / "t5")
        musicgen = MusicGen.get_pretrained(str(subject.folder), device=str(device))
    if not half:
        musicgen.lm.float()
        musicgen.autocast = TorchAutocast(enabled=False)
    return musicgen


def plain_tokens(musicgen: MusicGen, texts: list[str], frames: int) -> Tensor:
    """audiocraft's own generation: ``[row, codebook, frame]``."""
    top_k = min(TOP_K, musicgen.lm.card)
    musicgen.set_generation_params(duration=duration(frames), top_k=top_k, cfg_coef=GUIDANCE)
    attributes, _ = musicgen._prepare_tokens_and_attributes(texts, None)
    return musicgen._generate_tokens(attributes, None)


# -- transformers ----------------------------------------------------------------------------------------


class Transformers:
    """transformers' MusicGen decoder of the same shape, random weights, given the text's hidden states.

    Both of its caches are on: self-attention's, and cross-attention's keys and values. It reads no text, which the
    other sides do.
    """

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        with quiet_imports():
            from transformers import MusicgenForCausalLM
            from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig
        config = MusicgenDecoderConfig(
            vocab_size=shape.codes, num_hidden_layers=shape.layers, ffn_dim=4 * shape.width,
            num_attention_heads=shape.heads, hidden_size=shape.width, pad_token_id=shape.codes,
            bos_token_id=shape.codes,
        )  # fmt: skip
        self._model = MusicgenForCausalLM(config).eval()
        nn.Module.to(self._model, device, dtype)
        self._shape = shape

    @torch.no_grad()
    def tokens(self, rows: int, text: int, frames: int) -> Tensor:
        """``[row, codebook, frame]`` after ``text`` text tokens."""
        with quiet_imports():
            from transformers import DynamicCache, EncoderDecoderCache
        model, device = self._model, self._model.device
        start = torch.full((4 * rows, 1), self._shape.codes, device=device)
        hidden = torch.randn(2 * rows, text, self._shape.width, device=device, dtype=model.dtype)
        hidden[rows:] = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokens = model.generate(
                start, encoder_hidden_states=hidden, guidance_scale=GUIDANCE, do_sample=True,
                top_k=min(TOP_K, self._shape.codes), max_new_tokens=frames + 3,
                decoder_start_token_id=self._shape.codes, num_return_sequences=1,
                past_key_values=EncoderDecoderCache(*(DynamicCache(config=model.config) for _ in range(2))),
            )  # fmt: skip
        assert isinstance(tokens, Tensor)
        return tokens


# -- ours ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ours:
    """A voice as users get it, its model loaded. ``threads``: what the loader picks for it."""

    voice: Checkpoint
    model: HookedMusicGen
    threads: int

    @property
    def name(self) -> str:
        return f"ours, {threads(self.threads)}"


def load_ours(subject: Subject, device: torch.device) -> Ours:
    """Our model through our loader, in float32, heard by tiny's classifier."""
    config = ModelConfig(
        name=subject.name, path=str(subject.folder), layers=subject.layers, frame_rate=float(FRAME_RATE)
    )
    before = torch.get_num_threads()
    voice = Checkpoint(config, ClassifierConfig(name="tiny"), str(device))
    model, picked = voice.model, torch.get_num_threads()
    torch.set_num_threads(before)
    return Ours(voice, model, picked)


def load_bfloat16(subject: Subject, device: torch.device) -> HookedMusicGen:
    """Our model with the language model's weights in bfloat16."""
    model = load_model(str(subject.folder), device=str(device))
    model.musicgen.lm.to(torch.bfloat16)
    return model


def plain_name(count: int) -> str:
    """How the table calls audiocraft's side."""
    return f"plain audiocraft, {threads(count)}"


def threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' if count > 1 else ''}"
