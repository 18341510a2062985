"""A store through a server: the same files as through the folder, claims that hold, and damage that is mended."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mech_music.config.schema import EngineConfig
from mech_music.edits.row import Edit, Mean, Prompts, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.passes import PassRunner
from mech_music.listeners.loudness import Loudness
from mech_music.models.handle import LoadedModel
from mech_music.store import Store
from mech_music.store.remote import RemoteStore, StoreServer
from tests.test_second_generator import PROMPTS, SETTINGS, SecondGenerator

MEAN = Mean(Prompts.of(PROMPTS))
ROWS = [Row(prompt, seed) for prompt in PROMPTS for seed in range(4)]
ROWS += [Row(prompt, 0, (Edit("blocks.0.hook_mlp_out", 0.0, (Term(1.0, MEAN),)),)) for prompt in PROMPTS]


def engine(store: Store) -> Engine:
    how = EngineConfig(pack=8, workers=1, keep_audio=True)
    return Engine(LoadedModel(SecondGenerator()), store, SETTINGS, {"loudness": Loudness}, how, quiet=True)


def files(folder: Path) -> Counter[str]:
    """How many there are in each part."""
    return Counter(str(path.parent.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())


def test_the_same_files_as_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips, readings, a recording and sound; a second worker is told of them all and makes nothing."""
    alone = engine(Store(tmp_path / "alone")).answers([*ROWS, MEAN], ["loudness"])
    server = StoreServer(str(tmp_path / "served"))
    engine(RemoteStore(server, "one")).answers([*ROWS, MEAN], ["loudness"])
    assert files(tmp_path / "served") == files(tmp_path / "alone") and files(tmp_path / "alone").total() > 20

    def fail(*_: object) -> int:
        raise AssertionError("a pass was made")

    monkeypatch.setattr(PassRunner, "perform", fail)
    second = engine(RemoteStore(server, "two"))
    found = second.answers([*ROWS, MEAN], ["loudness"])
    for row in ROWS:
        assert np.array_equal(found.tokens(row), alone.tokens(row))
        assert np.array_equal(found.reading(row, "loudness")["db"], alone.reading(row, "loudness")["db"])
    assert all(np.array_equal(found.records[MEAN][hook], values) for hook, values in alone.records[MEAN].items())
    assert np.array_equal(second.audio(ROWS[:2])[0], engine(Store(tmp_path / "alone")).audio(ROWS[:2])[0])


def test_a_claim_holds_until_it_is_released_or_its_worker_forgotten(tmp_path: Path) -> None:
    server = StoreServer(str(tmp_path))
    one, two = (RemoteStore(server, name).leases for name in ("one", "two"))
    first = one.claim(["a", "b"])
    assert first.keys == {"a", "b"} and two.claim(["b", "c"]).keys == {"c"}
    assert Store(tmp_path).leases.claim(["a"]).keys == set(), "an engine on the folder itself keeps to it"
    first.release()
    assert two.claim(["a"]).keys == {"a"}
    server.forget("two")
    assert one.held() == set()


def test_a_damaged_shard_is_made_again(tmp_path: Path) -> None:
    server = StoreServer(str(tmp_path))
    before = engine(RemoteStore(server, "one")).answers(ROWS)
    for path in (server._store.place / "clips").iterdir():
        path.write_bytes(path.read_bytes()[:-3] + b"xxx")
    again = engine(RemoteStore(server, "two")).answers(ROWS)
    assert all(np.array_equal(again.tokens(row), before.tokens(row)) for row in ROWS)
