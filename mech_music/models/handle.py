"""A model that is named before it is loaded: stored clips are found without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mech_music.base.errors import UserError, first_line
from mech_music.config.schema import Dtype, ModelConfig
from mech_music.config.targets import target_of

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator


class LazyModel(Protocol):
    """A model that is loaded when it is first needed.

    ``model_id`` decides, with the settings and the row, what a clip is: weights, number format, device.
    ``weights``: the fingerprint of the checkpoint alone. ``name`` and ``source`` are for people.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def model(self) -> Generator: ...


def open_model(config: ModelConfig, device: str, threads: int) -> LazyModel:
    """The model that a config asks for. UserError for a class that cannot be imported, or files that do not fit."""
    from mech_music.models.musicgen.loading import Checkpoint

    if config._target_ is None:
        return Checkpoint(config, device, threads)
    try:
        kind: Any = target_of(config._target_)
        if not isinstance(kind, type):
            raise UserError("it is no class")
    except Exception as error:
        raise UserError(
            f"model '{config.name}': its _target_ '{config._target_}' cannot be imported ({first_line(error)}): mend "
            f"conf/model/{config.name}.yaml, or run where Python finds the module"
        ) from error
    return kind(config, device, threads)


@dataclass(frozen=True)
class LoadedModel:
    """A model that is loaded already, under a name for people."""

    model: Generator
    name: str = "model"
    source: str = "loaded by the program"

    @property
    def weights(self) -> str:
        """UserError for a model without a fingerprint: another one's clips would be taken for its own."""
        if not self.model.fingerprint:
            raise UserError(
                f"model '{self.name}' has no fingerprint, so its clips cannot be told from another's: give it one, for "
                "instance the SHA-256 of its weights' file"
            )
        return self.model.fingerprint

    @property
    def model_id(self) -> str:
        return f"{self.weights} {str(self.model.dtype).removeprefix('torch.')} {self.model.device.type}"


class OnWorkers:
    """A model that workers run, with a number format and on a kind of device that this machine may lack.

    Its clips are theirs: those whose tokens were not kept cannot be made again here (`elsewhere`).
    Here it is loaded in float32 on the CPU, and only for what is asked of it here: sound.
    """

    elsewhere = True

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        self._here = open_model(replace(config, dtype=Dtype.float32), "cpu", threads)
        self.name, self.source, self.weights = self._here.name, self._here.source, self._here.weights
        self.model_id = f"{self.weights} {config.dtype.value} {device}"

    @property
    def model(self) -> Generator:
        return self._here.model
