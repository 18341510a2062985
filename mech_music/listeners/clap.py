"""CLAP (Wu et al., ICASSP 2023), as transformers serves it: sound and text in one space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torchaudio
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.base.errors import UserError, first_line
from mech_music.base.quiet import quiet_imports
from mech_music.models.content import Content
from mech_music.models.devices import pick_device

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips

_VERSION = 1  # raise it when a change of this code changes a reading
_WEIGHTS = "model.safetensors"
_FILES = ("config.json", "preprocessor_config.json", _WEIGHTS, "tokenizer_config.json")
_OPTIONAL = ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json")
_SEED = 0  # of the crop that the extractor draws from a clip longer than its window


class Clap:
    """``embedding [channel]`` of each clip, of length 1; `encode` gives texts theirs, so that products are cosines.

    A clip shorter than the extractor's window (10 s) is repeated; of a longer one, one window is heard, drawn from a
    fixed seed. UserError for files that are missing, or (on loading) do not fit.
    """

    in_background = True

    def __init__(self, path: str | None, hub_id: str | None, revision: str | None, device: str = "auto") -> None:
        folder = _folder(path, hub_id, revision)
        self._folder, self._device = folder, device
        self._content = Content(lambda: [folder / name for name in (*_FILES, *_OPTIONAL) if (folder / name).is_file()])
        self.id = f"clap {_VERSION} {self._content.digest}"

    @classmethod
    def from_run(cls, run: RunConfig, path: str | None, hub_id: str | None, revision: str | None) -> Self:
        """The same for every run, on its device."""
        return cls(path, hub_id, revision, run.engine.device)

    def load(self) -> None:
        """Load the network."""
        _ = self._network

    @cached_property
    def _network(self) -> tuple[Any, Any, Any]:
        """Network, extractor, tokenizer."""
        found = _pretrained(self._folder)
        self._content.must_be_unchanged(f"CLAP in '{self._folder}'")
        return found[0].to(pick_device(self._device)), *found[1:]

    @torch.no_grad()
    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip channel"]]:
        """Clip by clip: the last bits of one must not depend on the others."""
        return {"embedding": np.stack([self._heard(clip, clips.sample_rate) for clip in clips.audio.float().cpu()])}

    def _heard(self, clip: Float[Tensor, " sample"], sample_rate: int) -> Float32[np.ndarray, " channel"]:
        network, extractor, _ = self._network
        wave = torchaudio.functional.resample(clip, sample_rate, extractor.sampling_rate).numpy()
        state = np.random.get_state()
        np.random.seed(_SEED)  # the extractor draws from NumPy's global generator
        try:
            given = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        finally:
            np.random.set_state(state)
        found = network.get_audio_features(**{name: value.to(network.device) for name, value in given.items()})
        return _unit(found.pooler_output)[0]

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "text channel"]:
        """Vectors of length 1, text by text."""
        network, _, tokenizer = self._network
        found = []
        for text in texts:
            given = tokenizer([text], return_tensors="pt", truncation=True).to(network.device)
            found.append(_unit(network.get_text_features(**given).pooler_output)[0])
        return np.stack(found)


def _unit(vectors: Float[Tensor, "one channel"]) -> Float32[np.ndarray, "one channel"]:
    return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()


def _folder(path: str | None, hub_id: str | None, revision: str | None) -> Path:
    """Where the files are. UserError if they cannot be had."""
    if path is not None:
        folder = Path(path).expanduser()
        if lacking := [name for name in _FILES if not (folder / name).is_file()]:
            raise UserError(
                f"no CLAP in '{path}': {lacking[0]} is missing; give path in the listener's YAML a folder with "
                f"{', '.join(_FILES)}"
            )
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(hub_id), revision=revision, allow_patterns=[*_FILES, *_OPTIONAL]))
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        raise UserError(
            f"CLAP '{hub_id}' cannot be fetched ({type(error).__name__}): fill the cache where there is a network "
            f"(`hf download {hub_id}`), or write a listener with path: <local folder>"
        ) from None


def _pretrained(folder: Path) -> tuple[Any, Any, Any]:
    try:
        with quiet_imports():
            from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

            both: Any = ClapModel.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
            network, found = both
            extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise _unreadable(folder, first_line(error)) from error
    if odd := sorted(found["missing_keys"]):  # transformers makes up weights that it does not find
        raise _unreadable(folder, f"{odd[0]} is missing")
    return network.eval(), extractor, tokenizer


def _unreadable(folder: Path, why: str) -> UserError:
    return UserError(f"CLAP in '{folder}' cannot be loaded ({why}): fetch its files again, or mend the listener's path")
