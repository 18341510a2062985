"""A tiny-long of a few steps: everything but its knowledge is as in the bundled one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mech_music.tiny.config import CodecConfig, LanguageModelConfig, LoopConfig
from mech_music.tiny.long import train
from mech_music.tiny.long.config import FormsConfig, LongConfig, PiecesConfig


@pytest.fixture(autouse=True)
def _restore_torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def micro(folder: Path) -> LongConfig:
    def loop() -> LoopConfig:
        return LoopConfig(steps=6, batch=2, warm_up=2, save_every=2)

    codec = CodecConfig(loop(), 2, 2, [5, 4, 2, 2, 16], 8, 4, 16, 0.15, 2, 6, {"last_kernel_size": 1})
    lm = LanguageModelConfig(loop(), 16, 2, 2, 8, 1)
    return LongConfig(
        threads=1, folder=str(folder), pieces=PiecesConfig(6, 3, 3), codec=codec, loops=loop(), language_model=lm,
        rearranged=3, refined=loop(), more_returns=3, told=loop(), told_exactly=3, forms=FormsConfig(loop(), 3),
        corrected=FormsConfig(loop(), 0, wrong=0.08), short=loop(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where every stage ran without interruption."""
    folder = tmp_path_factory.mktemp("long")
    train.run(micro(folder))
    return folder
