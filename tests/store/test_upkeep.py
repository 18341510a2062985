"""The store's command line: what is there, whether it is whole, and how to make it smaller."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mech_music.errors import UserError
from mech_music.store import Store, upkeep
from mech_music.store.__main__ import run
from tests.store.test_rows import outcomes, shards

TINY, SMALL = {"model": "tiny", "settings": "4 s"}, {"model": "small", "settings": "4 s"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five shards of tiny, of which one repeats rows, two of small, a record and a clip."""
    store = Store(tmp_path)
    for start in (0, 3, 6, 9):
        store.put(outcomes(start, 3), TINY)
    store.put(outcomes(3, 2) | outcomes(20, 1), TINY)
    for start in (100, 103):
        store.put(outcomes(start, 3), SMALL)
    store.put_record("a" * 64, {"blocks.0.hook_mlp_out": np.zeros((3, 2, 2), np.float32)})
    store.put_clip("b" * 64, np.zeros(100, np.float32), 16_000)
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
    keys = [key.hex() for key in store._index]
    return {key: o.logits.tobytes() + o.tokens.tobytes() for key, o in store.get(keys).items()}


def test_survey_counts_what_is_there(folder: Path) -> None:
    found = {(h.what, dict(h.about).get("model")): (h.items, len(h.files)) for h in upkeep.survey(folder)}
    assert found["rows", "tiny"] == (15, 5)
    assert found["rows", "small"] == (6, 2)
    assert found["records", None] == found["clips", None] == (1, 1)
    assert found["damaged", None] == found["remains", None] == (0, 0)
    code, text = command(folder)
    assert code == 0
    assert "tiny" in text


def test_compact_keeps_every_row_once(folder: Path) -> None:
    before = contents(folder)
    assert command(folder, "compact") == (0, "7 files of rows are now 2\n")
    assert contents(folder) == before
    assert sum(h.items for h in upkeep.survey(folder) if h.what == "rows") == len(before) == 13 + 6
    assert command(folder, "compact")[1] == "2 files of rows are now 2\n"


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
    assert len(reader.get(outcomes(0, 12))) == 12


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
    command(folder, "prune", "--model", "small", "--yes")
    assert {dict(h.about)["model"] for h in upkeep.survey(folder) if h.what == "rows"} == {"tiny"}
    assert Store(folder).clip("b" * 64) is not None
    old = shards(folder)[0]
    age(old, days=10)
    command(folder, "prune", "--older-than", "5", "--yes")
    assert len(shards(folder)) == 4
    assert not old.exists()
    command(folder, "prune", "--what", "clips", "--yes")
    assert Store(folder).clip("b" * 64) is None


def test_mistakes_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has: small, tiny"):
        command(folder, "prune", "--model", "large")
    with pytest.raises(UserError, match="no store at"):
        command(tmp_path / "nowhere")


def test_remains_of_a_killed_writer_are_seen_and_swept(folder: Path) -> None:
    fresh, old = folder / "rows" / ".x.safetensors.1", folder / "rows" / ".y.safetensors.2"
    for path in (fresh, old):
        path.write_bytes(b"half")
    age(old, days=0.1)
    assert {h.what: h.items for h in upkeep.survey(folder)}["remains"] == 2
    command(folder, "compact")
    assert fresh.exists()  # somebody may be writing it
    assert not old.exists()
