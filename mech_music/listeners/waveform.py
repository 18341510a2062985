"""Clips as a classifier's network takes them: checked, at its rate, on its device, in windows."""

import torch
import torchaudio
from jaxtyping import Float
from torch import Tensor


def at_rate(
    audio: Float[Tensor, "clip sample"], sample_rate: int, wanted: int, shortest: int, device: torch.device
) -> Float[Tensor, "clip sample"]:
    """Mono clips as float32 at ``wanted`` Hz. Raises ValueError for other shapes, and below ``shortest`` samples."""
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ValueError(f"audio must be floats [clip, sample], not {audio.dtype} {list(audio.shape)}")
    if sample_rate <= 0:
        raise ValueError(f"sample_rate must be positive, not {sample_rate}")
    audio = audio.to(device, torch.float32)
    if sample_rate != wanted:
        audio = torchaudio.functional.resample(audio, sample_rate, wanted)
    if audio.shape[1] < shortest:
        raise ValueError(f"clips must last at least {shortest / wanted:.3f} s for this classifier")
    return audio


def windows(audio: Float[Tensor, "clip sample"], length: int) -> Float[Tensor, "clip window part"]:
    """As few windows of ``length`` samples as hear everything, evenly spread; a shorter clip is one window as it is."""
    last = max(0, audio.shape[1] - length)
    count = -(-last // length) + 1
    starts = torch.linspace(0, last, count, dtype=torch.float64).round().long().tolist()
    return torch.stack([audio[:, start : start + length] for start in starts], dim=1)
