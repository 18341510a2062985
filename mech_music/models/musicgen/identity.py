"""What identifies a model's weights."""

from __future__ import annotations

from pathlib import Path

from mech_music.models.content import Content
from mech_music.models.musicgen.hub import FILES, deciding, find_codec, text_encoder_of
from mech_music.models.musicgen.published import Published


def content(folder: Path) -> Content:
    """That of every file which is read: the checkpoint's, the text encoder's, and the codec's if that is the hub's.

    It decides, with the settings, what a stored row is; so the same files anywhere are the same model. UserError for
    a file that is missing.
    """
    return Content(lambda: _files(folder))


def fingerprint(folder: Path) -> str:
    """SHA-256 over that content."""
    return content(folder).digest


def _files(folder: Path) -> list[Path]:
    lm, codec = (Published.open(folder / name) for name in FILES)
    parts = [text_encoder_of(lm.config, folder)]
    parts += [find_codec(codec.content["pretrained"])] if "pretrained" in codec.content else []
    return [folder / name for name in FILES] + [file for part in parts for file in deciding(part)]
