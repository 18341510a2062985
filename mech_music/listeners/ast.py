"""AST, the audio spectrogram transformer (Gong, Chung, Glass, Interspeech 2021), as transformers serves it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.base.quiet import quiet_imports
from mech_music.config.schema import ClassifierConfig
from mech_music.listeners.labels import N_CLASSES, audioset_columns
from mech_music.listeners.waveform import at_rate, windows

if TYPE_CHECKING:
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_HEAD = "classifier.dense.weight"
# Kaldi's frames, which the extractor computes: 25 ms every 10 ms.
_FRAME_MS, _SHIFT_MS = 25, 10
# Windows in one forward: each is padded to the full length, however short its clip.
_AT_ONCE = 16


class AST(nn.Module):
    """transformers' AST behind its own feature extractor.

    A clip shorter than the extractor's window (1024 frames, 10.255 s) is padded as the extractor does; a longer one is
    heard in as few windows as cover it, evenly spread, whose logits are averaged.
    """

    columns: Tensor

    def __init__(
        self, net: "ASTForAudioClassification", extractor: "ASTFeatureExtractor", columns: Sequence[int], name: str
    ) -> None:
        super().__init__()
        self.net, self.extractor, self.name = net.eval(), extractor, name
        self.sample_rate, self.n_classes = int(extractor.sampling_rate), N_CLASSES
        frame, shift = (self.sample_rate * ms // 1000 for ms in (_FRAME_MS, _SHIFT_MS))
        self.shortest, self.window = frame, frame + (extractor.max_length - 1) * shift
        self.register_buffer("columns", torch.tensor(columns))

    @classmethod
    def files(cls, config: ClassifierConfig) -> list[Path]:
        """The three files, of a local folder or (``hub_id``, ``revision``) through the hub's cache."""
        if config.path is None:
            return _from_hub(str(config.hub_id), config.revision)
        folder = user_path(config.path)
        if lacking := [name for name in _FILES if not (folder / name).is_file()]:
            raise UserError(
                f"classifier.path '{config.path}' has no {lacking[0]}: point it at a folder with {', '.join(_FILES)}"
            )
        return [folder / name for name in _FILES]

    @classmethod
    def load(cls, config: ClassifierConfig, device: str) -> Self:
        """The published network; every one of its weights must be in the file, and its classes AudioSet's."""
        settings, _, weights = cls.files(config)
        try:
            names = _names(settings)
            with safe_open(weights, "pt") as file:
                n_classes = file.get_slice(_HEAD).get_shape()[0]
        except Exception as error:
            raise _unreadable(settings.parent, first_line(error)) from error
        columns = audioset_columns(names, n_classes, f"classifier file '{settings}'")
        return cls(*_pretrained(settings.parent), columns, config.name).to(device)

    @torch.no_grad()
    def logits(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip label"]:
        """Raw logits of mono clips; audio at another rate is resampled.

        Raises ValueError for audio that is not [clip, sample] floats or is shorter than one frame (25 ms).
        """
        return self._read(audio, sample_rate, lambda some: self.net(some).logits)[:, self.columns]

    @torch.no_grad()
    def features(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip channel"]:
        """What the head reads: the mean of the two class tokens, averaged over windows as `logits` are."""
        return self._read(audio, sample_rate, lambda some: self.net.audio_spectrogram_transformer(some).pooler_output)

    def _read(
        self, audio: Float[Tensor, "clip sample"], sample_rate: int, read: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "clip output"]:
        device = self.net.device
        audio = at_rate(audio, sample_rate, self.sample_rate, self.shortest, device)
        parts = windows(audio, self.window)
        # The extractor is NumPy: one waveform at a time, on the CPU.
        waveforms = list(parts.flatten(0, 1).cpu().numpy())
        features = self.extractor(waveforms, sampling_rate=self.sample_rate, return_tensors="pt")["input_values"]
        with torch.autocast(device.type, enabled=False):
            found = torch.cat([read(some.to(device)) for some in features.split(_AT_ONCE)])
        return found.unflatten(0, parts.shape[:2]).mean(1)


def _from_hub(hub_id: str, revision: str | None) -> list[Path]:
    from huggingface_hub import hf_hub_download

    try:
        return [Path(hf_hub_download(hub_id, name, revision=revision)) for name in _FILES]
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        command = f"hf download {hub_id} {' '.join(_FILES)}" + (f" --revision {revision}" if revision else "")
        raise UserError(
            f"classifier '{hub_id}' cannot be fetched ({type(error).__name__}): fill the cache where there is a "
            f"network (`{command}`), or set classifier.path to a local folder with these files"
        ) from None


def _names(settings: Path) -> list[str]:
    """The names of the classes, in the order of the network's columns; empty if there are none."""
    written = json.loads(settings.read_text()).get("id2label", {})
    return [written[str(column)] for column in range(len(written))]


def _pretrained(folder: Path) -> "tuple[ASTForAudioClassification, ASTFeatureExtractor]":
    try:
        with quiet_imports():
            from transformers import ASTFeatureExtractor, ASTForAudioClassification

            both: Any = ASTForAudioClassification.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
            net, found = both
            extractor = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise _unreadable(folder, first_line(error)) from error
    # transformers makes up weights that it does not find.
    for kind in ("missing", "unexpected"):
        if odd := sorted(found[f"{kind}_keys"]):
            raise _unreadable(folder, f"{odd[0]} is {kind}")
    return net, extractor


def _unreadable(folder: Path, why: str) -> UserError:
    return UserError(
        f"classifier in '{folder}' cannot be loaded ({why}): fetch its {', '.join(_FILES)} again "
        "(a download may have been interrupted), or mend classifier.path"
    )
