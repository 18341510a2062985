"""The row store: what is written is read, by any process; damage is seen and never believed."""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.edits import content
from mech_music.edits.row import Edit, Mean, Prefix, Prompts, Row, Term
from mech_music.store import Store
from mech_music.store.rows import VERSION
from mech_music.store.shards import shard_keys

LISTENER = "listener 1"


@dataclass(frozen=True)
class Written:
    """Clips and what a listener read of them, by key."""

    keys: list[str]
    tokens: np.ndarray
    logits: np.ndarray


def written(start: int, n: int) -> Written:
    rng = np.random.default_rng(start)
    keys = [f"{key:064x}" for key in range(start, start + n)]
    tokens = rng.integers(0, 512, (n, 4, 9)).astype(np.int16)
    return Written(keys, tokens, rng.standard_normal((n, 527), np.float32))


def row_of(key: str) -> Row:
    """Rows with an edit, a source that names prompts, and a prefix."""
    edit = Edit("blocks.0.hook_mlp_out", 0.0, (Term(1.0, Mean(Prompts.of(("one", "two"), "numbers"))),), heads=(1,))
    return Row(f"prompt {key[-2:]}", int(key, 16), (edit,), prefix=Prefix.of([[1, 2], [3, 4]]))


def put(store: Store, start: int, n: int, about: dict[str, str] | None = None) -> Written:
    some = written(start, n)
    store.put_clips({key: row_of(key) for key in some.keys}, some.tokens, np.zeros(n, bool), about)
    store.readings(LISTENER).put(some.keys, {"logits": some.logits}, about)
    return some


def shards(folder: Path, part: str = "clips") -> list[Path]:
    return sorted((folder / VERSION / part).rglob("*.safetensors"))


def test_what_is_put_is_got_by_another_store(tmp_path: Path) -> None:
    parts = [put(Store(tmp_path), 0, 5), put(Store(tmp_path), 5, 3)]
    keys = [key for part in parts for key in part.keys]
    clips = Store(tmp_path).clips.get([*keys, "f" * 64])
    readings = Store(tmp_path).readings(LISTENER).get([*keys, "f" * 64])
    assert list(clips) == list(readings) == keys
    assert np.array_equal(np.stack([clips[key]["tokens"] for key in keys]), np.concatenate([p.tokens for p in parts]))
    heard = np.stack([readings[key]["logits"] for key in keys])
    assert np.array_equal(heard, np.concatenate([part.logits for part in parts]))
    assert not Store(tmp_path).readings("another listener").get(keys)


def test_a_row_is_read_back_as_it_was_asked_for(tmp_path: Path) -> None:
    some = put(Store(tmp_path), 0, 5)
    found = Store(tmp_path).rows([*some.keys, "f" * 64])
    assert found == {key: row_of(key) for key in some.keys}
    row = found[some.keys[3]]
    edit = row.edits[0]
    assert isinstance(edit, Edit) and edit.shift[0].source.prompts.texts == ("one", "two")
    assert row.prefix and row.prefix.tokens == ((1, 2), (3, 4))
    assert row.key("context") == row_of(some.keys[3]).key("context")


def test_a_kind_of_edit_that_is_not_known_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = put(Store(tmp_path), 0, 2)
    monkeypatch.delitem(content._KINDS, "Edit")
    assert Store(tmp_path).rows(some.keys) == {}


def test_what_an_earlier_version_left_is_said_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "0.safetensors").write_bytes(b"of another layout")
    with caplog.at_level(logging.WARNING):
        store = Store(tmp_path)
    assert len(store.clips) == 0
    assert len(caplog.records) == 1 and "rows/ of an earlier version" in caplog.text
    assert (tmp_path / "rows" / "0.safetensors").read_bytes() == b"of another layout"


def test_refresh_sees_what_another_process_added(tmp_path: Path) -> None:
    one, other = Store(tmp_path), Store(tmp_path)
    keys = put(other, 0, 2).keys
    assert not one.clips.get(keys)
    one.refresh()
    assert len(one.clips.get(keys)) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_shard_is_set_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = (put(Store(tmp_path), start, 4).keys for start in (0, 4))
    victim = next(path for path in shards(tmp_path) if f"{0:064x}" in map(bytes.hex, shard_keys(path)))
    content = bytearray(victim.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    victim.write_bytes(content[: {"truncated": len(content) - 7, "flipped": len(content), "empty": 0}[damage]])
    with caplog.at_level(logging.WARNING):
        store = Store(tmp_path)
        assert set(store.clips.get([*bad, *good])) == set(good)
    assert "damaged" in caplog.text
    assert len(shards(tmp_path)) == 1
    put(store, 0, 4)
    assert len(Store(tmp_path).clips.get([*bad, *good])) == 8


def test_damage_after_indexing_is_seen_when_read(tmp_path: Path) -> None:
    keys = put(Store(tmp_path), 0, 4).keys
    store = Store(tmp_path)
    shards(tmp_path)[0].write_bytes(b"no")
    assert not store.clips.get(keys)
    assert keys[0] not in store.clips


def test_a_file_under_another_key_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_record("a" * 64, {"x": np.zeros(3, np.float32)})
    store.put_audio("a" * 64, np.zeros(100, np.float32), 16_000)
    (record,) = (tmp_path / VERSION / "records").iterdir()
    (sound,) = (tmp_path / VERSION / "audio").rglob("*.flac")
    record.rename(record.with_name(record.name.replace("a" * 64, "b" * 64)))
    (tmp_path / VERSION / "audio" / "bb").mkdir()
    sound.rename(tmp_path / VERSION / "audio" / "bb" / sound.name.replace("a" * 64, "b" * 64))
    assert store.record("b" * 64) is None
    assert store.audio("b" * 64) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_shard_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    put(Store(tmp_path), 0, 4)
    shards(tmp_path)[0].chmod(0)
    with pytest.raises(UserError, match="permissions"):
        Store(tmp_path)


def test_records_are_kept_and_verified(tmp_path: Path) -> None:
    tensors = {"blocks.0.hook_mlp_out": np.arange(12, dtype=np.float32).reshape(3, 2, 2)}
    store = Store(tmp_path)
    assert store.record("a" * 64) is None
    store.put_record("a" * 64, tensors)
    found = Store(tmp_path).record("a" * 64)
    assert found is not None
    assert np.array_equal(found["blocks.0.hook_mlp_out"], tensors["blocks.0.hook_mlp_out"])
    path = next((tmp_path / VERSION / "records").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    assert store.record("a" * 64) is None
    assert not store.has_record("a" * 64)


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"engine\.store") as caught:
        Store(tmp_path / "file" / "store")
    assert "\n" not in str(caught.value)


def test_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    kept, lost = put(store, 0, 2).keys, written(2, 2)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        put(store, 2, 2)
    monkeypatch.undo()
    assert [path.suffix for path in (tmp_path / VERSION / "clips").iterdir()] == [".safetensors"]
    assert set(Store(tmp_path).clips.get([*kept, *lost.keys])) == set(kept)


def test_clip_is_kept_as_sound(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 10).astype(np.float32) * 0.5
    store = Store(tmp_path)
    assert store.audio("a" * 64) is None
    store.put_audio("a" * 64, wave, 16_000)
    found = Store(tmp_path).audio("a" * 64)
    assert found is not None
    clip, rate = found
    assert rate == 16_000
    np.testing.assert_allclose(clip, wave, atol=2**-15)
    path = next((tmp_path / VERSION / "audio").rglob("*.flac"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.audio("a" * 64) is None
