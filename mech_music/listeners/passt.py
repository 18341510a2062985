"""PaSST (Koutini et al., Interspeech 2022): hear21passt's network behind its own mel front end.

The published network and tiny's are the same class with another shape. Clips longer than the window are heard as its
authors do (hear21passt's scene embeddings): in overlapping windows whose logits are averaged.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.base.quiet import quiet_imports
from mech_music.base.stand_ins import stand_ins
from mech_music.config.schema import ClassifierConfig
from mech_music.listeners.labels import N_CLASSES
from mech_music.listeners.waveform import at_rate

log = logging.getLogger(__name__)
_ARCHITECTURE = "passt_s_swa_p16_128_ap476"


@dataclass(frozen=True)
class PaSSTConfig:
    """Shape of a PaSST and its mel front end. Lengths in samples, mel frames or Hz as named.

    `attributes` names further groups of classes (mood, tempo) that linear heads read off the features.
    """

    name: str
    sample_rate: int
    n_mels: int
    window: int
    hop: int
    n_fft: int
    fmax: float
    frames: int
    stride: int
    width: int
    depth: int
    heads: int
    scene_hop_ms: int
    attributes: dict[str, list[str]] = field(default_factory=dict)


# As in hear21passt.base: 10 s windows at 32 kHz. fmax is what its front end makes of fmax=None.
PUBLISHED = PaSSTConfig(
    name="passt", sample_rate=32_000, n_mels=128, window=800, hop=320, n_fft=1024, fmax=15_000.0, frames=998, stride=10,
    width=768, depth=12, heads=12, scene_hop_ms=2500,
)  # fmt: skip


class PaSST(nn.Module):
    """A PaSST in evaluation mode: no patchout, no augmentation."""

    def __init__(self, config: PaSSTConfig, patchout: int = 0) -> None:
        super().__init__()
        # timm, with torchvision, is there to download weights, which are ours to find.
        with quiet_imports(), stand_ins(("timm.models._hub",)):
            from hear21passt.models import passt
            from hear21passt.models.preprocess import AugmentMelSTFT
            from hear21passt.wrapper import PasstBasicWrapper

            passt.first_RUN = False
            mel = AugmentMelSTFT(
                n_mels=config.n_mels, sr=config.sample_rate, win_length=config.window, hopsize=config.hop,
                n_fft=config.n_fft, freqm=0, timem=0, fmin=0.0, fmax=config.fmax, fmin_aug_range=1, fmax_aug_range=1,
            )  # fmt: skip
            net = passt.PaSST(
                u_patchout=patchout, img_size=(config.n_mels, config.frames), patch_size=16, stride=config.stride,
                num_classes=N_CLASSES, embed_dim=config.width, depth=config.depth, num_heads=config.heads,
                distilled=True,
            )  # fmt: skip
            window_ms = round((config.frames + 2) * config.hop / config.sample_rate * 1000)
            self.wrapper = PasstBasicWrapper(
                mel, net, max_model_window=window_ms, scene_hop=config.scene_hop_ms, mode="all"
            )
        self.wrapper.device_proxy.requires_grad_(False)
        self.config = config
        self.name, self.sample_rate, self.n_classes = config.name, config.sample_rate, N_CLASSES
        self.attribute_heads = nn.ModuleDict(
            {name: nn.Linear(config.width, len(words)) for name, words in config.attributes.items()}
        )
        self.eval()

    @classmethod
    def files(cls, config: ClassifierConfig) -> list[Path]:
        """The published checkpoint: a local file, or torch.hub's cached copy, fetched if need be."""
        if config.path is None:
            return [_published()]
        path = user_path(config.path)
        if not path.is_file():
            raise UserError(f"classifier.path '{config.path}' is not a file: give the PaSST checkpoint, {_url()}")
        return [path]

    @classmethod
    def load(cls, config: ClassifierConfig, device: str) -> Self:
        """The published network. Raises UserError for a file that is cut short, is something else, or does not fit."""
        (path,) = cls.files(config)
        weights = _read(path)
        if "head.1.weight" in weights and (n_classes := len(weights["head.1.weight"])) != N_CLASSES:
            raise UserError(
                f"classifier file '{path}' has {n_classes} classes, AudioSet has {N_CLASSES}: fetch {_url()}"
            )
        prefixed = {f"wrapper.net.{name}": tensor.float() for name, tensor in weights.items()}
        return cls(PUBLISHED).load_weights({"wrapper.device_proxy": torch.zeros(1), **prefixed}).to(device)

    @torch.no_grad()
    def spectrogram(self, audio: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip mel frame"]:
        """The normalised log-mel spectrogram that the network sees, of audio at the classifier's own rate."""
        with quiet_imports(), torch.autocast(audio.device.type, enabled=False):
            return self.wrapper.mel(audio)

    @property
    def net(self) -> nn.Module:
        """The network: [row 1 mel frame] to logits and features."""
        return self.wrapper.net

    def load_weights(self, weights: Mapping[str, Tensor]) -> Self:
        """Fill in trained weights. Raises UserError if they do not fit."""
        own = self.state_dict()
        if odd := sorted(own.keys() ^ weights.keys()):
            raise UserError(f"weights of classifier {self.name!r} do not fit: {odd[0]} is missing or unexpected")
        if bad := [name for name in own if own[name].shape != weights[name].shape]:
            raise UserError(f"weights of classifier {self.name!r} do not fit: {bad[0]} has another shape")
        self.load_state_dict(weights)
        return self.eval()

    @torch.no_grad()
    def _embed(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip channel"]:
        device = self.wrapper.device_proxy.device
        shortest = max(16 * self.config.hop + 1, self.config.n_fft)
        audio = at_rate(audio, sample_rate, self.sample_rate, shortest, device)
        with quiet_imports(), torch.autocast(device.type, enabled=False):
            return self.wrapper.get_scene_embeddings(audio).to(device)

    def logits(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip label"]:
        """Raw logits of mono clips; audio at another rate is resampled.

        Clips shorter than the window go in as they are; longer ones in overlapping windows whose logits are averaged.
        Raises ValueError for audio that is not [clip, sample] floats or is shorter than one patch.
        """
        return self._embed(audio, sample_rate)[:, :N_CLASSES]

    def features(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip channel"]:
        """What the head reads: the mean of the two class tokens, averaged over windows as `logits` are."""
        return self._embed(audio, sample_rate)[:, N_CLASSES:]

    def listen(
        self, audio: Float[Tensor, "clip sample"], sample_rate: int
    ) -> tuple[Float[Tensor, "clip label"], dict[str, Float[Tensor, "clip word"]]]:
        """Raw logits, and those of each further group of attributes (tiny: mood, tempo)."""
        embedding = self._embed(audio, sample_rate)
        with torch.no_grad():
            groups = {name: head(embedding[:, N_CLASSES:]) for name, head in self.attribute_heads.items()}
        return embedding[:, :N_CLASSES], groups


def _url() -> str:
    with quiet_imports():
        from hear21passt.models.passt import default_cfgs

    return default_cfgs[_ARCHITECTURE]["url"]


def _published() -> Path:
    """The checkpoint where hear21passt itself keeps it, fetched if it is not there."""
    url = _url()
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        log.info("fetching %s", url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise UserError(
                f"PaSST's checkpoint cannot be fetched ({first_line(error)}): put {url} at '{path}', "
                "or give its place as classifier.path"
            ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    try:
        written: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, with long advice
        raise UserError(
            f"classifier file '{path}' is not a whole PyTorch checkpoint ({type(error).__name__}): "
            f"delete it (a download may have been interrupted) and fetch {_url()} again"
        ) from error
    weights = written.get("model", written) if isinstance(written, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise UserError(f"classifier file '{path}' is not a plain state dict: fetch {_url()}")
    return weights
