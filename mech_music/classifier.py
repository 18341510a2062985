"""The listener: a PaSST (Koutini et al., Interspeech 2022) that turns clips into 527 AudioSet logits.

The pretrained PaSST and tiny's are the same class with another config: hear21passt's network behind its own mel front
end, and its authors' way with clips longer than the window (overlapping windows, logits averaged).
"""

import csv
import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torchaudio
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mech_music.errors import UserError
from mech_music.quiet import quiet_imports

N_CLASSES = 527
_PASST = "passt_s_swa_p16_128_ap476"


@dataclass(frozen=True)
class ClassifierConfig:
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
PASST_CONFIG = ClassifierConfig(
    name="passt", sample_rate=32_000, n_mels=128, window=800, hop=320, n_fft=1024, fmax=15_000.0, frames=998, stride=10,
    width=768, depth=12, heads=12, scene_hop_ms=2500,
)  # fmt: skip


class Classifier(nn.Module):
    """A PaSST in evaluation mode (no patchout, no augmentation), its weights summed up in `fingerprint`."""

    def __init__(self, config: ClassifierConfig, patchout: int = 0) -> None:
        super().__init__()
        with quiet_imports():
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
        self.fingerprint = ""
        self.eval()

    @torch.no_grad()
    def spectrogram(self, audio: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip mel frame"]:
        """The normalised log-mel spectrogram that the network sees, of audio at the classifier's own rate."""
        with quiet_imports(), torch.autocast(audio.device.type, enabled=False):
            return self.wrapper.mel(audio)

    @property
    def net(self) -> nn.Module:
        """The network: [row 1 mel frame] to logits and features."""
        return self.wrapper.net

    def load_weights(self, weights: dict[str, Tensor]) -> "Classifier":
        """Fill in trained weights and note their fingerprint. Raises UserError if they do not fit."""
        own = self.state_dict()
        if odd := sorted(own.keys() ^ weights.keys()):
            raise UserError(f"weights of classifier {self.name!r} do not fit: {odd[0]} is missing or unexpected")
        if bad := [name for name in own if own[name].shape != weights[name].shape]:
            raise UserError(f"weights of classifier {self.name!r} do not fit: {bad[0]} has another shape")
        self.load_state_dict(weights)
        self.fingerprint = _fingerprint(self)
        return self.eval()

    @torch.no_grad()
    def _embed(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip channel"]:
        if audio.ndim != 2 or not audio.is_floating_point():
            raise ValueError(f"audio must be floats [clip, sample], not {audio.dtype} {list(audio.shape)}")
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, not {sample_rate}")
        device = self.wrapper.device_proxy.device
        audio = audio.to(device, torch.float32)
        if sample_rate != self.sample_rate:
            audio = torchaudio.functional.resample(audio, sample_rate, self.sample_rate)
        shortest = max(16 * self.config.hop + 1, self.config.n_fft)
        if audio.shape[1] < shortest:
            raise ValueError(
                f"clips must last at least {shortest / self.sample_rate:.3f} s for classifier {self.name!r}"
            )
        with quiet_imports(), torch.autocast(device.type, enabled=False):
            return self.wrapper.get_scene_embeddings(audio).to(device)

    def logits(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip label"]:
        """Raw logits of mono clips; audio at another rate is resampled.

        Clips shorter than the window go in as they are; longer ones in overlapping windows whose logits are averaged.
        Raises ValueError for audio that is not [clip, sample] floats or is shorter than one patch.
        """
        return self._embed(audio, sample_rate)[:, :N_CLASSES]

    def listen(
        self, audio: Float[Tensor, "clip sample"], sample_rate: int
    ) -> tuple[Float[Tensor, "clip label"], dict[str, Float[Tensor, "clip word"]]]:
        """Raw logits, and those of each further group of attributes (tiny: mood, tempo)."""
        embedding = self._embed(audio, sample_rate)
        with torch.no_grad():
            groups = {name: head(embedding[:, N_CLASSES:]) for name, head in self.attribute_heads.items()}
        return embedding[:, :N_CLASSES], groups


def _fingerprint(model: Classifier) -> str:
    """sha256 (hex) over config and float32 weights."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _load_tiny(folder: Path) -> Classifier:
    config_path, weights_path = folder / "classifier.json", folder / "classifier.safetensors"
    try:
        config = ClassifierConfig(**json.loads(config_path.read_text()))
        weights = load_file(weights_path)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(
            f"no readable classifier in {folder} ({error}): it must hold classifier.json and classifier.safetensors"
        ) from error
    return Classifier(config).load_weights({name: tensor.float() for name, tensor in weights.items()})


def _passt_weights(path: str | None) -> dict[str, Any]:
    """The published checkpoint, from a local file or through torch.hub's cache."""
    if path is not None:
        if not Path(path).is_file():
            raise UserError(f"classifier path {path!r} is not a file: give the PaSST checkpoint (.pt)")
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a file that is not a checkpoint
            raise UserError(f"classifier path {path!r} is not a PyTorch checkpoint") from error
    else:
        from hear21passt.models.passt import default_cfgs

        url = default_cfgs[_PASST]["url"]
        try:
            weights = torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False)
        except OSError as error:
            raise UserError(
                f"PaSST's checkpoint cannot be fetched ({error}): "
                f"download {url} and give its path, or take classifier=tiny"
            ) from error
    return weights.get("model", weights)


def _load_passt(path: str | None) -> Classifier:
    weights = _passt_weights(path)
    model = Classifier(PASST_CONFIG)
    prefixed = {f"wrapper.net.{name}": tensor.float() for name, tensor in weights.items()}
    return model.load_weights({"wrapper.device_proxy": torch.zeros(1), **prefixed})


def classifier_id(name: str, path: str | None = None) -> str:
    """What identifies a classifier's weights, known without loading them: its files' SHA-256, or its address."""
    if name == "tiny":
        from mech_music.tiny import bundle_dir

        folder = Path(path) if path else bundle_dir()
        files = [folder / "classifier.json", folder / "classifier.safetensors"]
    elif path is not None:
        files = [Path(path)]
    else:
        return f"{name} published"
    try:
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    except OSError as error:
        raise UserError(
            f"classifier file {error.filename!r} cannot be read ({error.strerror}): set classifier.path"
        ) from None
    return " ".join([name, *digests])


def load_classifier(name: str = "tiny", path: str | None = None, device: str = "cpu") -> Classifier:
    """The classifier "tiny" (`path`: a folder; default: the bundle) or "passt" (`path`: a checkpoint file).

    Raises UserError for an unknown name and for weights that are missing, unreadable or do not fit.
    """
    if name == "tiny":
        from mech_music.tiny import bundle_dir

        model = _load_tiny(Path(path) if path else bundle_dir())
    elif name == "passt":
        model = _load_passt(path)
    else:
        raise UserError(f"unknown classifier {name!r}: expected one of tiny, passt")
    return model.to(device)


@cache
def _known_labels() -> dict[int, str]:
    text = files("mech_music").joinpath("audioset_music_labels.csv").read_text()
    return {int(row["index"]): row["display_name"] for row in csv.DictReader(text.splitlines())}


def label_names(n: int = N_CLASSES) -> list[str]:
    """AudioSet's display names of classes 0 … n-1 where known (music, 137 to 282), else "class <index>"."""
    known = _known_labels()
    return [known.get(index, f"class {index}") for index in range(n)]
