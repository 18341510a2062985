"""Silence for the libraries that talk while they are imported, built or first called.

xformers warns that its CUDA extensions are missing (audiocraft does not use them here), hear21passt prints
its architecture and every shape of its first forward, and the Hugging Face libraries report to their hub.
None of it helps a user; errors still come through, as exceptions.
"""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

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
    with _SILENCE:
        yield


class _Muted:
    """Standard output that drops what threads inside a quiet block write, and passes on what others do."""

    def __init__(self, out: IO[str]) -> None:
        self.out, self.threads = out, list[int]()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in self.threads else self.out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


class _Silence:
    """Quiet blocks of several threads overlap: the first to begin changes what the last to end puts back."""

    def __init__(self) -> None:
        self._lock, self._muted = threading.Lock(), _Muted(sys.stdout)
        self._filters: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._muted.threads:
                self._muted.out = sys.stdout
                sys.stdout = self._muted
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._muted.threads.append(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._muted.threads.remove(threading.get_ident())
            if not self._muted.threads:
                assert self._filters is not None
                self._filters.__exit__(None, None, None)
                sys.stdout = self._muted.out


_SILENCE = _Silence()
