"""Training of tiny's EnCodec: SEANet encoder and decoder around residual vector quantisation, all from audiocraft.

Judged on mel spectrograms at four resolutions (Zeghidour et al. 2021, "SoundStream", without the discriminator) and a
little on the waveform. The first steps run unquantised; then k-means on encoded clips sets the codebooks.
"""

import math
from typing import Any

import numpy as np
import torch
from audiocraft.models.builders import get_compression_model
from audiocraft.models.encodec import EncodecModel
from jaxtyping import Float, Int
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from mech_music.tiny import data, loop
from mech_music.tiny.config import CodecConfig
from mech_music.tiny.synth import SAMPLE_RATE
from mech_music.tiny.workspace import StageFolder, Workspace

_MELS_OF_FFT = {256: 24, 512: 40, 1024: 64, 2048: 96}


def codec_config(config: CodecConfig) -> dict[str, Any]:
    """The config of the codec in audiocraft's terms (`xp.cfg` of compression_state_dict.bin)."""
    return {
        "compression_model": "encodec", "device": "cpu", "sample_rate": SAMPLE_RATE, "channels": 1,
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": SAMPLE_RATE, "channels": 1,
            "causal": False, "renormalize": False,
        },
        "seanet": {
            "dimension": config.dimension, "channels": 1, "causal": False, "n_residual_layers": 0,
            "ratios": list(config.ratios), "activation": "LeakyReLU", "activation_params": {"negative_slope": 0.1},
            "norm": "none", "kernel_size": 7, "last_kernel_size": 7, "lstm": 0, "pad_mode": "constant",
            "encoder": {"n_filters": config.encoder_filters, **config.encoder},
            "decoder": {"n_filters": config.decoder_filters},
        },
        "rvq": {
            "n_q": config.codebooks, "bins": config.codebook_size, "decay": 0.98, "kmeans_init": True,
            "kmeans_iters": 10, "threshold_ema_dead_code": 0.1,
        },
    }  # fmt: skip


def build(config: CodecConfig) -> EncodecModel:
    """An untrained codec."""
    model = get_compression_model(OmegaConf.create(codec_config(config)))
    assert isinstance(model, EncodecModel)
    return model


def _initialise(model: EncodecModel) -> None:
    """Weights that keep the variance of leaky rectifiers; torch's default never leaves the plateau of silence."""
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    for conv in convolutions:
        fan_in = conv.in_channels * conv.kernel_size[0]
        if isinstance(conv, nn.ConvTranspose1d):
            fan_in /= conv.stride[0]
        nn.init.normal_(conv.weight, std=math.sqrt(1.4 / fan_in))
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    decoder = [m for m in model.decoder.modules() if isinstance(m, nn.Conv1d)]
    decoder[-1].weight.data.mul_(0.3)


class SpectralLoss(nn.Module):
    """Distance of mel magnitudes at four resolutions: 2·L1 + L1 of log(· + 0.01), averaged over resolutions."""

    def __init__(self) -> None:
        super().__init__()
        for n_fft, n_mels in _MELS_OF_FFT.items():
            bank = melscale_fbanks(n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE)
            self.register_buffer(f"bank_{n_fft}", bank, persistent=False)
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def _mel(self, audio: Float[Tensor, "row sample"], n_fft: int) -> Float[Tensor, "row frame mel"]:
        window = self.get_buffer(f"window_{n_fft}")
        spectrum = torch.stft(audio, n_fft, n_fft // 4, window=window, return_complex=True)
        # The floor keeps the root's gradient finite; n_fft scales a full-scale sine to about 1 at every resolution.
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-7).sqrt() * (4.0 / n_fft)
        return magnitude.transpose(1, 2) @ self.get_buffer(f"bank_{n_fft}")

    def forward(self, found: Float[Tensor, "row sample"], wanted: Float[Tensor, "row sample"]) -> Float[Tensor, ""]:
        total = found.new_zeros(())
        for n_fft in _MELS_OF_FFT:
            a, b = self._mel(found, n_fft), self._mel(wanted, n_fft)
            total = total + 2.0 * (a - b).abs().mean() + ((a + 1e-2).log() - (b + 1e-2).log()).abs().mean()
        return total / len(_MELS_OF_FFT)


class _Trainer:
    """Draws crops and computes the loss of a step. ``audio``: int16 [clip, sample]."""

    def __init__(self, seed: int, config: CodecConfig, model: EncodecModel, audio: np.ndarray) -> None:
        self.seed, self.config, self.model, self.audio = seed, config, model, audio
        self.frame = math.prod(config.ratios)
        self.spectral = SpectralLoss()
        self.first_quantised = int(config.unquantised * config.loop.steps)

    def crops(self, step: int) -> Float[Tensor, "row 1 sample"]:
        """Random crops of clips that begin on a frame."""
        random = loop.generator(self.seed, "codec", step)
        rows = random.integers(len(self.audio), size=self.config.loop.batch)
        n_frames = self.audio.shape[1] // self.frame
        starts = random.integers(n_frames - self.config.crop_frames + 1, size=len(rows)) * self.frame
        length = self.config.crop_frames * self.frame
        crops = [self.audio[row, start : start + length] for row, start in zip(rows, starts, strict=True)]
        return torch.from_numpy(np.stack(crops).astype(np.float32) / 32767.0)[:, None]

    @torch.no_grad()
    def set_codebooks(self) -> None:
        """k-means on encoded clips; `inited` in the weights tells that it was done."""
        rows = np.arange(min(self.config.kmeans_clips, len(self.audio)))
        clips = torch.from_numpy(data.read(self.audio, rows))[:, None]
        latents = torch.cat([self.model.encoder(part) for part in clips.split(8)])
        self.model.quantizer(latents, self.model.frame_rate)

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Spectral and waveform distance of reconstructed crops, and commitment to the codes."""
        wanted = self.crops(step)
        if step == self.first_quantised:
            self.set_codebooks()
        latents = self.model.encoder(wanted)
        waveform_weight, penalty = 3.0, torch.zeros(())
        if step >= self.first_quantised:
            quantised = self.model.quantizer(latents, self.model.frame_rate)
            latents, penalty, waveform_weight = quantised.x, quantised.penalty, 1.0
        found = self.model.decoder(latents)
        waveform = (found - wanted).abs().mean()
        return self.spectral(found[:, 0], wanted[:, 0]) + waveform_weight * waveform + 0.25 * penalty


def load(workspace: StageFolder, config: CodecConfig) -> EncodecModel:
    """The trained codec of a folder, ready to use."""
    model = build(config)
    model.load_state_dict(workspace.load_tensors("codec"))
    return model.eval()


def run(workspace: Workspace) -> None:
    """The codec stage."""
    fit(workspace, workspace.config.codec, workspace.load_array("corpus")[: workspace.config.corpus.train])


def fit(workspace: StageFolder, config: CodecConfig, audio: np.ndarray) -> None:
    """Train a codec on clips, int16 [clip, sample], and seal it."""
    torch.manual_seed(loop.derive_seed(workspace.seed, "codec", -1))
    model = build(config)
    _initialise(model)
    loop.train(workspace, "codec", model, config.loop, _Trainer(workspace.seed, config, model, audio).loss)
    workspace.save_tensors("codec", model.state_dict())


@torch.no_grad()
def encode(model: EncodecModel, audio: Float[np.ndarray, "clip sample"]) -> Int[Tensor, "clip codebook frame"]:
    """Codes of clips."""
    return model.encode(torch.from_numpy(audio)[:, None])[0]


@torch.no_grad()
def decode(model: EncodecModel, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip sample"]:
    """Audio of codes."""
    return model.decode(codes.long())[:, 0]


def run_codes(workspace: Workspace) -> None:
    """The codes stage."""
    write_codes(workspace, "codes", load(workspace, workspace.config.codec))


def write_codes(workspace: Workspace, stage: str, model: EncodecModel) -> None:
    """Every clip of the corpus as tokens (int16)."""
    audio, parts = workspace.load_array("corpus"), []
    for start in loop.tracked(range(0, len(audio), 8), stage):
        rows = np.arange(start, min(start + 8, len(audio)))
        parts.append(encode(model, data.read(audio, rows)).to(torch.int16))
    workspace.save_tensors(stage, {"codes": torch.cat(parts)})
