"""The clips worth hearing: original and edited, of the strongest, median and weakest effects, as files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16

from mech_music.base.atomic import replacing


@dataclass(frozen=True)
class Choice:
    """Something to listen to, in one version or several.

    ``name``: the beginning of its files' names; ``versions``: the key of each version's clip in the row store;
    ``facts``: what ``index.csv`` says of it.
    """

    name: str
    caption: str
    versions: Mapping[str, str]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Clip:
    """One file that was written, and what it is."""

    path: Path
    caption: str


def write_clips(
    choices: Sequence[Choice],
    waveforms: Mapping[str, Float32[np.ndarray, " sample"]],
    sample_rate: int,
    folder: Path,
) -> list[Clip]:
    """All versions of every choice and an ``index.csv`` that says what each file is.

    ``waveforms``: by row key, full scale ±1; KeyError if one that was chosen is not there. Files are
    ``<name>_<version>.wav``. UserError if the folder cannot be written.
    """
    clips: list[Clip] = []
    for choice in choices:
        for version, key in choice.versions.items():
            path = folder / f"{choice.name}_{version}.wav"
            write_wav(path, waveforms[key], sample_rate)
            clips.append(Clip(path, f"{version}: {choice.caption}"))
    _write_index(choices, folder / "index.csv")
    return clips


def write_wav(path: Path, waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> None:
    """A mono 16-bit WAV, atomically. Louder than full scale is clipped. ValueError for NaN or a wrong shape."""
    import soundfile

    with replacing(path) as partial:
        soundfile.write(partial, pcm16(waveform), sample_rate, subtype="PCM_16", format="WAV")


def pcm16(waveform: Float32[np.ndarray, " sample"]) -> Int16[np.ndarray, " sample"]:
    """Full scale ±1 to 16-bit samples: clipped rather than wrapped around."""
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise ValueError(f"a waveform must be finite and [sample], not of shape {waveform.shape} or with NaN")
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)


def _write_index(choices: Sequence[Choice], path: Path) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "version", *choices[0].facts])
        for choice in choices:
            facts = [f"{fact:.4f}" if isinstance(fact, float) else fact for fact in choice.facts.values()]
            for version in choice.versions:
                writer.writerow([f"{choice.name}_{version}.wav", version, *facts])
