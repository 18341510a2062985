"""The sizes of the benchmarks, as typed configuration (`conf/benchmarks/`)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mech_music.base.errors import UserError, unknown
from mech_music.cli.explain import explain, fail

NAMES = ("reference", "decode", "edits", "lenses", "saes", "limit", "memory", "rerun", "startup")
"""What is measured where nothing is named."""
CARD = ("parity", "fit", "throughput", "grid")
"""What is asked of a card besides (`make gpu`)."""


@dataclass
class Shape:
    """A random-weight MusicGen; these numbers are musicgen-small's. ``text_layers`` of T5's 12: text is read once."""

    layers: int = 24
    width: int = 1024
    heads: int = 16
    codes: int = 2048
    text_width: int = 768
    text_layers: int = 2


@dataclass
class ReferenceSizes:
    """Prompts, each with its 48 versions of a clip, and codec frames."""

    tiny_prompts: int = 4
    tiny_frames: int = 100
    random_prompts: int = 1
    random_frames: int = 24


@dataclass
class DecodeSizes:
    """Prompts in a pass, and codec frames (0: 60 on a GPU, 20 on a CPU)."""

    tiny_rows: list[int] = field(default_factory=lambda: [48, 128, 256])
    tiny_frames: int = 100
    random_rows: list[int] = field(default_factory=lambda: [8, 48])
    random_frames: int = 0


@dataclass
class EditsSizes:
    """Rows in a pass, and codec frames."""

    tiny_rows: int = 64
    tiny_frames: int = 100
    random_rows: int = 16
    random_frames: int = 12


@dataclass
class LensesSizes:
    """Rows in a pass, and codec frames."""

    tiny_rows: int = 64
    tiny_frames: int = 100


@dataclass
class SaesSizes:
    """Rows in a pass, and codec frames; features of the SAE, and how many of them a vector has."""

    tiny_rows: int = 64
    tiny_frames: int = 100
    width: int = 256
    k: int = 16


@dataclass
class LimitSizes:
    """Rows in a pass, codec frames (0: 60 on a GPU, 20 on a CPU); edges of the square matrices, megabytes copied."""

    tiny_rows: list[int] = field(default_factory=lambda: [16, 64, 128, 256])
    tiny_frames: int = 100
    random_rows: list[int] = field(default_factory=lambda: [8, 24, 48, 96])
    random_frames: int = 0
    matrices: list[int] = field(default_factory=lambda: [1024, 2048, 4096])
    copied_mb: int = 512


@dataclass
class MemorySizes:
    """Rows of the small run, how many times more the large one has, and codec frames."""

    rows: int = 100
    times: int = 10
    frames: int = 10


@dataclass
class NamedShape(Shape):
    """One of several."""

    name: str = "small"


def _published() -> list[NamedShape]:
    return [NamedShape(), NamedShape(48, 1536, 24, name="medium"), NamedShape(48, 2048, 32, name="large")]


@dataclass
class ParitySizes:
    """Rows in a pass, and codec frames (0: 60 on a GPU, 20 on a CPU)."""

    rows: int = 16
    tiny_frames: int = 100
    random_frames: int = 0


@dataclass
class FitSizes:
    """Codec frames of the rows whose memory is probed."""

    frames: int = 200


@dataclass
class ThroughputSizes:
    """Rows in a pass, and codec frames (0: 60 on a GPU, 20 on a CPU)."""

    rows: list[int] = field(default_factory=lambda: [1, 16, 64, 256, 1024])
    frames: int = 0


@dataclass
class GridSizes:
    """Rows in a pass, and codec frames of a clip: 200 are the study's 4 s."""

    rows: int = 480
    frames: int = 200


@dataclass
class RerunSizes:
    """Concept pairs × strengths × the four components = jobs; prompts of each concept, seconds of each clip."""

    pairs: int = 10
    strengths: int = 25
    prompts: int = 2
    duration: float = 0.4


@dataclass
class BenchmarksConfig:
    """What to measure.

    ``only``: names of benchmarks, all of the usual ones if empty. ``shapes``: of the models that a card is measured
    with. ``page``: a folder for the table as one page more, named after the card. ``rounds``: how often each comparison
    is repeated. ``plain_threads``: of the sides that are not ours (0: torch's own choice, every core).
    """

    only: list[str] = field(default_factory=list)
    rounds: int = 2
    device: str = "auto"
    plain_threads: int = 0
    page: str = ""
    shape: Shape = field(default_factory=Shape)
    shapes: list[NamedShape] = field(default_factory=_published)
    reference: ReferenceSizes = field(default_factory=ReferenceSizes)
    decode: DecodeSizes = field(default_factory=DecodeSizes)
    edits: EditsSizes = field(default_factory=EditsSizes)
    lenses: LensesSizes = field(default_factory=LensesSizes)
    saes: SaesSizes = field(default_factory=SaesSizes)
    limit: LimitSizes = field(default_factory=LimitSizes)
    memory: MemorySizes = field(default_factory=MemorySizes)
    rerun: RerunSizes = field(default_factory=RerunSizes)
    parity: ParitySizes = field(default_factory=ParitySizes)
    fit: FitSizes = field(default_factory=FitSizes)
    throughput: ThroughputSizes = field(default_factory=ThroughputSizes)
    grid: GridSizes = field(default_factory=GridSizes)


def register() -> None:
    """Make the schema known to Hydra, as `benchmarks_schema`."""
    ConfigStore.instance().store(name="benchmarks_schema", node=BenchmarksConfig)


def validate(config: BenchmarksConfig | DictConfig) -> None:
    """UserError for a benchmark that is none, and for less than one round."""
    for name in config.only:
        if name not in (*NAMES, *CARD):
            raise UserError(unknown("benchmark", name, (*NAMES, *CARD)))
    if config.plain_threads < 0:
        raise UserError(f"plain_threads={config.plain_threads}: expected 0 (torch's own choice) or more")
    if config.rounds < 1:
        raise UserError(f"rounds={config.rounds}: expected at least 1")


def keys() -> list[str]:
    """The keys of the config."""
    return [item.name for item in fields(BenchmarksConfig)]


class Validation(Callback):
    """Ends the program before Hydra makes an output folder for benchmarks that cannot be run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            validate(config)
        except UserError as error:
            fail(explain(error))
