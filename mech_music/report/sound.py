"""A clip as a page carries it: a compressed sound, and a picture of its mel spectrogram."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float32, UInt8

from mech_music.results.audio import pcm16

# MPEG's own rates. Every browser plays MP3; some play no Ogg. FLAC, which all play too, takes any rate.
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
MELS, COLUMNS = 64, 160
QUIET, LOUD = -90.0, -20.0  # dB of full scale: black and white of the picture


def encoded(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> str:
    """The clip at its own rate as a ``data:`` URI."""
    _, mime, content = compressed(waveform, sample_rate)
    return _uri(mime, content)


def compressed(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> tuple[str, str, bytes]:
    """The clip at its own rate as a file: its suffix, its MIME type and its bytes. MP3, or FLAC for a rate that MP3
    does not know."""
    import soundfile

    kind, subtype, mime = (
        ("MP3", "MPEG_LAYER_III", "audio/mpeg") if sample_rate in _MP3_RATES else ("FLAC", "PCM_16", "audio/flac")
    )
    content = io.BytesIO()
    soundfile.write(content, pcm16(waveform), sample_rate, format=kind, subtype=subtype)
    return f".{kind.lower()}", mime, content.getvalue()


def spectrogram(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> str:
    """The clip's `picture` as a ``data:`` URI."""
    return _uri("image/png", picture(waveform, sample_rate))


def picture(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> bytes:
    """The clip's mel spectrogram as a small PNG: time to the right, 0 Hz at the bottom."""
    from matplotlib import colormaps
    from PIL import Image

    image = Image.fromarray(_levels(waveform, sample_rate))
    image.putpalette((colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8).tobytes())
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return content.getvalue()


def _levels(waveform: Float32[np.ndarray, " sample"], sample_rate: int) -> UInt8[np.ndarray, "mel column"]:
    """Loudness of each mel band, 0 at `QUIET` and 255 at `LOUD`, in 32 steps (which pack to a third)."""
    import torch
    import torchaudio

    n_fft = 1024 if sample_rate <= 24_000 else 2048
    hop = max(1, len(waveform) // (COLUMNS - 1))
    window = torch.hann_window(n_fft)
    padded = torch.nn.functional.pad(torch.from_numpy(waveform), (n_fft // 2, n_fft // 2))
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True).abs()
    power = (2 * spectrum / window.sum()) ** 2  # a sine of full scale gives 1
    bands = torchaudio.functional.melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, MELS, sample_rate)
    decibels = 10 * torch.log10(bands.T @ power + 1e-12)
    shade = ((decibels - QUIET) / (LOUD - QUIET)).clamp(0, 1).flip(0)
    return ((shade * 31).round() * (255 / 31)).to(torch.uint8).numpy()


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
