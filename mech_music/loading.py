"""From a checkpoint to a `HookedMusicGen`: the bundled model, a local folder, or a hub id.

Importing audiocraft takes seconds, so that is done only when a model is really loaded.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mech_music.classifier import Classifier, classifier_id, load_classifier
from mech_music.config import ClassifierConfig, ModelConfig
from mech_music.errors import UserError
from mech_music.workers import n_cores

if TYPE_CHECKING:
    from mech_music.model import HookedMusicGen

FILES = ("state_dict.bin", "compression_state_dict.bin")


def pick_device(name: str) -> torch.device:
    """``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``. UserError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device '{name}': expected auto, cpu, cuda, cuda:<number> or mps") from None
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= there.get(device.type, 0):
        count = there.get(device.type, 0)
        raise UserError(f"device '{name}' is not there ({count} found): use engine.device=auto or cpu")
    return device


def checkpoint_folder(path: str | None, hub_id: str | None) -> Path:
    """The local folder that holds the two checkpoint files, fetched into the hub's cache if need be.

    No ``path`` and no ``hub_id`` means the bundled model. UserError names what is missing and the fix.
    """
    if path is not None:
        folder = Path(path).expanduser()
        for name in FILES:
            if not (folder / name).is_file():
                raise UserError(f"model.path '{path}' has no {name}: point it at a folder with {' and '.join(FILES)}")
        return folder
    if hub_id is None:
        from mech_music.tiny import bundle_dir

        return bundle_dir()
    from huggingface_hub import snapshot_download

    try:
        cache = os.environ.get("AUDIOCRAFT_CACHE_DIR")
        return Path(snapshot_download(hub_id, allow_patterns=list(FILES), cache_dir=cache))
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        raise UserError(
            f"model '{hub_id}' cannot be fetched ({type(error).__name__}): fill the cache where there is a network "
            f"(`hf download {hub_id} {' '.join(FILES)}`), or set model.path to a local folder with these files"
        ) from None


def load_model(
    path: str | None = None, hub_id: str | None = None, device: str = "auto", dtype: str = "float32"
) -> HookedMusicGen:
    """Load a MusicGen through audiocraft's own loader and hook it (which checks the hooks).

    ``float16`` runs as audiocraft does on a GPU (autocast), ``bfloat16`` likewise on either; ``float32`` is the
    reference.
    """
    from mech_music.model import HookedMusicGen
    from mech_music.quiet import quiet_imports

    with quiet_imports():
        from audiocraft.models.musicgen import MusicGen
        from audiocraft.utils.autocast import TorchAutocast

    place, folder = pick_device(device), checkpoint_folder(path, hub_id)
    if dtype == "float16" and place.type == "cpu":
        raise UserError("model.dtype=float16 needs a GPU: use float32 or bfloat16 on the CPU")
    if (folder / "t5").is_dir():  # a model that brings its own text encoder, as the bundled one does
        from mech_music.tiny import register_t5

        register_t5(folder / "t5")
    try:
        with quiet_imports():
            musicgen = MusicGen.get_pretrained(str(folder), device=str(place))
    except Exception as error:
        raise UserError(
            f"checkpoint in '{folder}' cannot be loaded ({_first_line(error)}): fetch it again, or mend model.path"
        ) from error
    if dtype == "float32":
        musicgen.lm.float()
        musicgen.autocast = TorchAutocast(enabled=False)
    elif dtype == "bfloat16":
        musicgen.lm.to(torch.bfloat16)
        musicgen.autocast = TorchAutocast(enabled=True, device_type=place.type, dtype=torch.bfloat16)
    return HookedMusicGen(musicgen, fingerprint(folder))


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__


def fingerprint(folder: Path) -> str:
    """SHA-256 over the checkpoint files: what identifies a model in the store."""
    digest = hashlib.sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class Checkpoint:
    """The voice that a config asks for; its parts are loaded when they are first used.

    Raises UserError at once for files and devices that are not there, and on loading for what is in them.
    """

    def __init__(self, model: ModelConfig, classifier: ClassifierConfig, device: str, threads: int = 0) -> None:
        self._model, self._classifier, self._device, self._threads = model, classifier, device, threads
        self.name = model.name
        place = pick_device(device)
        weights = fingerprint(checkpoint_folder(model.path, model.hub_id))
        self.model_id = f"{weights} {model.dtype.value} {place.type}"
        self.classifier_id = classifier_id(classifier)

    @property
    def model(self) -> HookedMusicGen:
        return self._loaded_model

    @property
    def classifier(self) -> Classifier:
        return self._loaded_classifier

    @cached_property
    def _loaded_model(self) -> HookedMusicGen:
        wanted = self._model
        model = load_model(wanted.path, wanted.hub_id, self._device, wanted.dtype.value)
        if model.n_layers != wanted.layers:
            raise UserError(
                f"model.layers={wanted.layers}, but the checkpoint has {model.n_layers} layers: "
                f"set model.layers={model.n_layers}"
            )
        torch.set_num_threads(self._threads or _threads_for(model.d_model))
        return model

    @cached_property
    def _loaded_classifier(self) -> Classifier:
        return load_classifier(self._classifier, device=str(pick_device(self._device)))


def _threads_for(d_model: int) -> int:
    """One thread for a narrow model, whose operations are too short to share; every core for a wide one."""
    return 1 if d_model < 512 else n_cores()
