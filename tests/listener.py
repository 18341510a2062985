"""A small classifier for tests of the machinery: fixed random weights on the spectrum."""

from __future__ import annotations

import torch
from torch import Tensor


class Listener:
    """Has the interface of `mech_music.listeners.classifier.Classifier`; hears with an untrained ear."""

    name = "listener"
    n_classes = 527
    sample_rate = 32_000

    def __init__(self) -> None:
        self._weights = torch.randn(513, self.n_classes, generator=torch.Generator().manual_seed(1))

    def logits(self, audio: Tensor, sample_rate: int) -> Tensor:
        spectrum = torch.stft(audio, 1024, window=torch.hann_window(1024), return_complex=True).abs().mean(dim=-1)
        return torch.log(spectrum + 1e-6) @ self._weights
