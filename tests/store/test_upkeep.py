"""The store's command line: what is there, whether it is whole, and how to make it smaller."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.store import Store, upkeep
from mech_music.store.__main__ import run
from mech_music.store.rows import VERSION
from tests.store.test_rows import LISTENER, put, shards

TINY, SMALL = {"model": "tiny", "settings": "4 s"}, {"model": "small", "settings": "4 s"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of tiny, four shards and one that repeats clips of two of them; of small, two; a record, a sound."""
    store = Store(tmp_path)
    for start in (0, 3, 6, 9):
        put(store, start, 3, TINY)
    put(store, 4, 4, TINY)
    for start in (100, 103):
        put(store, start, 3, SMALL)
    store.put_record("a" * 64, {"blocks.0.hook_mlp_out": np.zeros((3, 2, 2), np.float32)})
    store.put_audio("b" * 64, np.zeros(100, np.float32), 16_000)
    return tmp_path


def command(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code and what is printed."""
    console = Console(width=200, file=io.StringIO())
    code = run(["--store", str(folder), *words], console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def age(path: Path, days: float) -> None:
    then = time.time() - 86_400 * days
    os.utime(path, (then, then))


def contents(folder: Path) -> dict[str, bytes]:
    store = Store(folder)
    keys = [key.hex() for key in store.clips._index]
    clips, readings, rows = store.clips.get(keys), store.readings(LISTENER).get(keys), store.rows(keys)
    return {
        key: clips[key]["tokens"].tobytes() + readings[key]["logits"].tobytes() + repr(rows[key]).encode()
        for key in keys
    }


def test_survey_counts_what_is_there(folder: Path) -> None:
    found = {(h.what, dict(h.about).get("model")): (h.items, len(h.files)) for h in upkeep.survey(folder)}
    assert found["clips", "tiny"] == found["readings", "tiny"] == (16, 5)
    assert found["clips", "small"] == found["readings", "small"] == (6, 2)
    assert found["records", None] == found["audio", None] == (1, 1)
    assert found["damaged", None] == found["remains", None] == (0, 0)
    code, text = command(folder)
    assert code == 0
    assert "tiny" in text


def test_compact_keeps_every_row_once(folder: Path) -> None:
    before = contents(folder)
    assert command(folder, "compact") == (0, "14 files of clips and readings are now 4\n")
    assert contents(folder) == before
    for part in ("clips", "readings"):
        assert sum(h.items for h in upkeep.survey(folder) if h.what == part) == len(before) == 12 + 6
    assert command(folder, "compact")[1] == "4 files of clips and readings are now 4\n"


def test_compact_killed_halfway_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, unlink = contents(folder), Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".safetensors":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        command(folder, "compact")
    monkeypatch.undo()
    assert contents(folder) == before
    command(folder, "compact")
    assert contents(folder) == before


def test_a_reader_goes_on_while_another_compacts(folder: Path) -> None:
    reader = Store(folder)
    command(folder, "compact")
    keys = [f"{key:064x}" for key in range(12)]
    assert len(reader.clips.get(keys)) == len(reader.readings(LISTENER).get(keys)) == len(reader.rows(keys)) == 12


def test_verify_sets_damage_aside(folder: Path) -> None:
    assert command(folder, "verify") == (0, "every file is what was written\n")
    victim = shards(folder)[2]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    code, text = command(folder, "verify")
    assert code == 1
    assert victim.name in text
    assert not victim.exists()
    assert command(folder, "verify")[0] == 0
    assert {h.what: h.items for h in upkeep.survey(folder)}["damaged"] == 1


def test_prune_asks_first_and_takes_only_what_was_named(folder: Path) -> None:
    code, text = command(folder, "prune", "--model", "small")
    assert code == 0
    assert "--yes" in text
    assert len(shards(folder)) == 7
    mark = Store(folder).place / "unions" / "0123"
    mark.parent.mkdir()
    mark.touch()
    command(folder, "prune", "--model", "small", "--yes")
    assert not mark.exists(), "a union of which clips are gone is not there"
    assert {dict(h.about)["model"] for h in upkeep.survey(folder) if h.what == "clips"} == {"tiny"}
    assert Store(folder).audio("b" * 64) is not None
    old = shards(folder)[0]
    age(old, days=10)
    command(folder, "prune", "--older-than", "5", "--yes")
    assert len(shards(folder)) == 4
    assert not old.exists()
    command(folder, "prune", "--what", "audio", "--yes")
    assert Store(folder).audio("b" * 64) is None


def test_mistakes_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has: small, tiny"):
        command(folder, "prune", "--model", "large")
    with pytest.raises(UserError, match="no store at"):
        command(tmp_path / "nowhere")


def test_remains_of_a_killed_writer_are_seen_and_swept(folder: Path) -> None:
    fresh, old = (folder / VERSION / "clips" / name for name in (".x.safetensors.1", ".y.safetensors.2"))
    for path in (fresh, old):
        path.write_bytes(b"half")
    age(old, days=0.1)
    assert {h.what: h.items for h in upkeep.survey(folder)}["remains"] == 2
    command(folder, "compact")
    assert fresh.exists()  # somebody may be writing it
    assert not old.exists()
