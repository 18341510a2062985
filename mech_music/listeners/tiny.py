"""The bundled listener: a small PaSST, trained on the bundled model's kind of music (`mech_music.tiny`)."""

import json
from pathlib import Path
from typing import Self

from safetensors import SafetensorError
from safetensors.torch import load_file

from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.config.schema import ClassifierConfig
from mech_music.listeners.passt import PaSST, PaSSTConfig

_FILES = ("classifier.json", "classifier.safetensors")


class TinyPaSST(PaSST):
    """A PaSST from a folder that holds its shape and its weights; ``path`` null means the bundle."""

    @classmethod
    def files(cls, config: ClassifierConfig) -> list[Path]:
        """The folder's two files."""
        from mech_music.tiny import bundle_dir

        folder = user_path(config.path) if config.path else bundle_dir()
        if lacking := [name for name in _FILES if not (folder / name).is_file()]:
            raise UserError(
                f"no classifier in '{folder}': {lacking[0]} is missing; it must hold {' and '.join(_FILES)}"
            )
        return [folder / name for name in _FILES]

    @classmethod
    def load(cls, config: ClassifierConfig, device: str) -> Self:
        """The trained network. Raises UserError for files that are unreadable or do not fit."""
        shape_path, weights_path = cls.files(config)
        try:
            shape = PaSSTConfig(**json.loads(shape_path.read_text()))
            weights = load_file(weights_path)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise UserError(f"no readable classifier in '{shape_path.parent}' ({first_line(error)})") from error
        model = cls(shape).load_weights({name: tensor.float() for name, tensor in weights.items()})
        return model.to(device)
