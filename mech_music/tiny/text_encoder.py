"""Tiny's T5 text encoder: a vocabulary of one token per template word, and the untrained network."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from mech_music.base.quiet import quiet_imports
from mech_music.tiny.config import LanguageModelConfig
from mech_music.tiny.data import GENRES, INSTRUMENTS, STUDY

SPECIAL = ("<pad>", "</s>", "<unk>")
# Rows of the embedding; the spare ones let a word be added without another shape.
SIZE = 40


def vocabulary() -> tuple[str, ...]:
    """Special tokens, every word of the template (punctuation stays with its word), the attribute words, spare ids."""
    words = [word for word in STUDY.template.split() if "{" not in word]
    moods, tempi = (STUDY.categories[name].words for name in ("mood", "tempo"))
    for phrase in (*moods, *GENRES, "electronic", *INSTRUMENTS, *tempi):
        words += phrase.split()
    return vocabulary_of(words, SIZE)


def vocabulary_of(words: Iterable[str], size: int) -> tuple[str, ...]:
    """Special tokens, each of these words once, and spare ids up to ``size``."""
    pieces = (*SPECIAL, *dict.fromkeys(f"▁{word}" for word in words))
    return (*pieces, *(f"<spare_{i}>" for i in range(size - len(pieces))))


def make_tokenizer(pieces: Sequence[str] | None = None) -> T5Tokenizer:
    """A unigram tokenizer that knows whole words only (tiny's own): any other word is the unknown token."""
    scores = [(piece, 0.0 if piece in SPECIAL else -1.0) for piece in pieces or vocabulary()]
    return T5Tokenizer(vocab=scores, extra_ids=0)


def save(config: LanguageModelConfig, folder: Path, pieces: Sequence[str] | None = None) -> None:
    """Write tokenizer (of tiny's vocabulary, or of these pieces) and an untrained encoder as a pretrained folder.

    The trained encoder is in audiocraft's checkpoint of the language model, which overwrites this one at load.
    """
    pieces = pieces or vocabulary()
    shape = T5Config(
        vocab_size=len(pieces), d_model=config.text_width, d_kv=max(1, config.text_width // 4),
        d_ff=2 * config.text_width, num_layers=config.text_layers, num_heads=4, dropout_rate=0.0,
        is_encoder_decoder=False, use_cache=False, dtype="float32",
    )  # fmt: skip
    with quiet_imports(), torch.random.fork_rng():
        torch.manual_seed(0)
        T5EncoderModel(shape).save_pretrained(folder)
        make_tokenizer(pieces).save_pretrained(folder)
