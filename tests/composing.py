"""Composing configs, and running the command line in this process with a made-up engine."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mech_music.config.paths import conf_dir
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Row
from mech_music.engine.engine import Answers
from mech_music.run import main
from mech_music.tasks.registry import as_run, register
from tests.answers import Outcome, answered
from tests.composed_once import compose_once

register()


def compose_run(*overrides: str) -> Any:
    """The settings of one job of any task, as the command line would compose them: a copy, which may be changed."""
    return copy.deepcopy(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> RunConfig:
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose_once(patch)
        return as_run(compose("config", list(overrides)))


class MadeUpEngine:
    """Answers every row at once, with logits drawn from the row's own key; remembers what it was asked."""

    about: ClassVar[dict[str, str]] = {"source": "made up"}

    def __init__(self) -> None:
        self.asked: list[list[Row]] = []

    def ensure(self, rows: Iterable[Row], listeners: Sequence[str] = ()) -> None:
        self.answers(rows, listeners)

    def answers(self, rows: Iterable[Row], listeners: Sequence[str] = ()) -> Answers:
        self.asked.append(list(rows))
        return answered({row: _outcome(row) for row in self.asked[-1]})

    def rows_of(self, keys: Iterable[str]) -> dict[str, Row]:
        known = {row.key("made up"): row for asked in self.asked for row in asked}
        return {key: known[key] for key in keys if key in known}

    def audio(self, rows: list[Row]) -> tuple[np.ndarray, int]:
        clips = [np.random.default_rng(_seed(row)).normal(0, 0.1, 1600).astype(np.float32) for row in rows]
        return np.stack(clips), 16_000


def _seed(row: Row) -> int:
    return int(hashlib.sha256(row.key("made up").encode()).hexdigest()[:8], 16)


def _outcome(row: Row) -> Outcome:
    logits = np.random.default_rng(_seed(row)).normal(0, 2, 527).astype(np.float32)
    return Outcome(logits, np.zeros((4, 10), np.int16), row.key("made up"))


class CommandLine:
    """Runs ``mech_music.run`` in this process, results under ``folder``, without W&B unless it is asked for.

    ``made_up``: with a `MadeUpEngine` in the place of the config's own. ``places``: where results go; none for where
    the command line puts them by itself. ``draws``: with figures, which take half of a small sweep's time.
    Hydra composes everything once more to see whether a config sets ``hydra.mode``; only experiments do.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, made_up: bool = True, draws: bool = True) -> None:
        self.folder, self.engine, self._patch = folder, MadeUpEngine(), patch
        self.places = [f"hydra.run.dir={folder / 'run'}", f"hydra.sweep.dir={folder / 'sweep'}"]
        if not draws:
            patch.setattr("mech_music.results.figures.draw_all", lambda *_: [])
        if made_up:
            patch.setattr("mech_music.cli.job.open_engine", lambda run: self.engine)

    def __call__(self, *words: str) -> int:
        """The exit status of ``mech-music <words>``."""
        self._patch.setenv("HYDRA_FULL_ERROR", "0")  # and taken back afterwards: main sets it
        silent = [] if any(word.startswith("logger") for word in words) else ["logger=none"]
        self._patch.setattr("sys.argv", ["mech-music", *words, *silent, *self.places])
        with _own_logging(), pytest.MonkeyPatch.context() as patch:
            compose_once(patch)
            if not any(word.startswith(("experiment=", "hydra.mode=")) for word in words):
                patch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)  # as it is found to be
            try:
                main()
            except SystemExit as end:
                return int(end.code or 0)
        return 0


@contextmanager
def _own_logging() -> Iterator[None]:
    """Takes back what Hydra does to the root logger: its handlers write to streams that pytest closes after a test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(before):
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
