"""Prompts as audiocraft's text encoder takes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mech_music.models.musicgen.decode import Conditions
from mech_music.models.musicgen.imports import audiocraft_imports

with audiocraft_imports():
    from audiocraft.models.musicgen import MusicGen
    from audiocraft.modules.conditioners import ClassifierFreeGuidanceDropout

log = logging.getLogger(__name__)

PROMPT = "Compose a happy rock piece, with a guitar melody. Use a fast tempo."
"""To measure and check with; what a model does not know of it concerns nobody."""


class Text:
    """A model's prompts. A word that its text encoder does not know is warned of once."""

    def __init__(self, musicgen: MusicGen) -> None:
        self._musicgen, self._known = musicgen, set[str]()

    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """Of the guidance-doubled batch: the second half has no text."""
        self._warn(prompts)
        attributes, _ = self._musicgen._prepare_tokens_and_attributes(list(prompts), None)
        null = ClassifierFreeGuidanceDropout(p=1.0)(attributes)
        provider = self._musicgen.lm.condition_provider
        return provider(provider.tokenize(attributes + null))

    def length(self, prompt: str) -> int:
        """Tokens of ``prompt``, with the one that ends it."""
        self._warn([prompt])
        return int(self._encoder.tokenize([prompt])["input_ids"].shape[-1])

    @property
    def _encoder(self) -> Any:
        return self._musicgen.lm.condition_provider.conditioners["description"]

    def _warn(self, prompts: Sequence[str]) -> None:
        words = {word: None for prompt in prompts if prompt != PROMPT for word in prompt.split()}
        for word in words.keys() - self._known:
            self._known.add(word)
            tokenizer = self._encoder.t5_tokenizer
            if tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False)["input_ids"]:
                log.warning("the text encoder does not know the word %r: it is read as <unk>", word)
