"""What identifies a model's weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mech_music.models.musicgen.hub import FILES, deciding, find_codec, text_encoder_of
from mech_music.models.musicgen.published import Published


def fingerprint(folder: Path) -> str:
    """SHA-256 over the checkpoint files, and over those they only name: a T5 and a codec of the hub.

    It decides, with the settings, what a stored row is; so the same weights from anywhere are the same model.
    """
    digest = hashlib.sha256()
    for file in [folder / name for name in FILES] + [file for part in _named_parts(folder) for file in deciding(part)]:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _named_parts(folder: Path) -> list[Path]:
    """Folders of the text encoder and of the codec, where the checkpoint does not hold them itself."""
    lm, codec = (Published.open(folder / name) for name in FILES)
    parts = [] if lm.config.conditioners.description.t5.finetune else [text_encoder_of(lm.config, folder)]
    return parts + ([find_codec(codec.content["pretrained"])] if "pretrained" in codec.content else [])
