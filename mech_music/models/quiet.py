"""Silence for the libraries that talk while they are imported, built or first called.

xformers warns that its CUDA extensions are missing (audiocraft does not use them here), hear21passt prints
its architecture and every shape of its first forward, and the Hugging Face libraries report to their hub.
None of it helps a user; errors still come through, as exceptions.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_TALKERS = ("xformers", "transformers", "torio", "torchaudio", "numexpr", "matplotlib", "dora", "flashy", "nnsight")


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Import, build or first call a third-party model without its chatter.

    Warnings and standard output are dropped inside the block; the loggers named above stay at ERROR
    and the environment settings stay set (a user's own settings win) afterwards.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # The settings above come too late for a transformers that another library has imported already.
    if transformers_logging := sys.modules.get("transformers.utils.logging"):
        transformers_logging.disable_progress_bar()
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
