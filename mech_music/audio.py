"""The clips worth hearing: original and edited, of the strongest and the weakest effects, as files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int16

from mech_music.atomic import replacing
from mech_music.schema import AXES, layer_order


@dataclass(frozen=True)
class Choice:
    """One effect to listen to: where it stands among its like, and the keys of its two clips.

    ``name``: ``strongest-1_layer-4_prompt-017``, the beginning of its files' names.
    """

    name: str
    original: str
    desired: str
    technique: str
    component: str
    layer: str
    index: int
    prompt: str
    effectiveness: float
    row: str
    baseline: str

    @property
    def caption(self) -> str:
        """``guitar → piano, replace mlp layer 4, effectiveness +3.2 nats: Compose …``."""
        what = f"{self.technique} {self.component} layer {self.layer}"
        return f"{self.original} → {self.desired}, {what}, effectiveness {self.effectiveness:+.1f} nats: {self.prompt}"


@dataclass(frozen=True)
class Clip:
    """One file that was written, and what it is."""

    path: Path
    caption: str


def select_clips(table: pd.DataFrame, strongest: int, weakest: int) -> list[Choice]:
    """The technique's clips of the greatest and of the least effectiveness, never one clip in both.

    Failed clips are passed over; equals are taken in the table's order of axes and prompts.
    """
    measured = table.query("role == 'technique' and not failed").dropna(subset=["effectiveness"])
    lines = [{str(name): value for name, value in line.items()} for line in measured.to_dict("records")]
    lines.sort(key=lambda line: (-line["effectiveness"], *_place(line)))
    first = lines[:strongest]
    last = lines[max(len(first), len(lines) - weakest) :][::-1] if weakest else []
    ranked = [("strongest", rank, line) for rank, line in enumerate(first, 1)]
    ranked += [("weakest", rank, line) for rank, line in enumerate(last, 1)]
    return [_choice(f"{end}-{rank}", line) for end, rank, line in ranked]


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    axes = [layer_order(line[axis]) if axis == "layer" else line[axis] for axis in AXES]
    return (*axes, line["index"])


def _choice(rank: str, line: Mapping[str, Any]) -> Choice:
    names = ("original", "desired", "technique", "component", "layer", "index", "prompt", "effectiveness")
    name = f"{rank}_layer-{line['layer']}_prompt-{line['index']:03d}"
    return Choice(name, **{key: line[key] for key in (*names, "row", "baseline")})


def write_clips(
    choices: Sequence[Choice],
    waveforms: Mapping[str, Float32[np.ndarray, " sample"]],
    sample_rate: int,
    folder: Path,
) -> list[Clip]:
    """Both clips of every choice and an ``index.csv`` that says what each file is.

    ``waveforms``: by row key, full scale ±1; KeyError if one that was chosen is not there. Files are
    ``<name>_original.wav`` and ``<name>_edited.wav``. UserError if the folder cannot be written.
    """
    clips: list[Clip] = []
    for choice in choices:
        for version, key in (("original", choice.baseline), ("edited", choice.row)):
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
    columns = ("file", "version", "original", "desired", "technique", "component", "layer", "index", "effectiveness")
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, "prompt"])
        for choice in choices:
            for version in ("original", "edited"):
                facts = [getattr(choice, name) for name in columns[2:-1]]
                number = f"{choice.effectiveness:.4f}"
                writer.writerow([f"{choice.name}_{version}.wav", version, *facts, number, choice.prompt])
