"""The sides that are not ours: audiocraft alone, and transformers' MusicGen."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mech_music.base.quiet import quiet_imports
from mech_music.benchmarks.config import Shape
from mech_music.benchmarks.models import Subject, duration, threads
from mech_music.tiny import register_t5

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

GUIDANCE, TOP_K = 3.0, 250  # MusicGen's defaults, and ours


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


def plain_name(count: int) -> str:
    """How the table calls audiocraft's side."""
    return f"plain audiocraft, {threads(count)}"
