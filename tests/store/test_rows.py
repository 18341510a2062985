"""The row store: what is written is read, by any process; damage is seen and never believed."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from mech_music.errors import UserError
from mech_music.store import Outcome, Store
from mech_music.store.rows import shard_keys


def outcomes(start: int, n: int) -> dict[str, Outcome]:
    rng = np.random.default_rng(start)
    return {
        f"{key:064x}": Outcome(rng.standard_normal(527, np.float32), rng.integers(0, 512, (4, 9)).astype(np.int16))
        for key in range(start, start + n)
    }


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "rows").glob("*.safetensors"))


def test_what_is_put_is_got_by_another_store(tmp_path: Path) -> None:
    written = outcomes(0, 5) | outcomes(5, 3)
    store = Store(tmp_path)
    store.put(outcomes(0, 5))
    store.put(outcomes(5, 3))
    found = Store(tmp_path).get([*written, "f" * 64])
    assert found.keys() == written.keys()
    for key, outcome in found.items():
        assert outcome.key == key
        assert np.array_equal(outcome.logits, written[key].logits)
        assert np.array_equal(outcome.tokens, written[key].tokens)


def test_refresh_sees_what_another_process_added(tmp_path: Path) -> None:
    one, other = Store(tmp_path), Store(tmp_path)
    other.put(outcomes(0, 2))
    assert not one.get(outcomes(0, 2))
    one.refresh()
    assert len(one.get(outcomes(0, 2))) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_shard_is_set_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    Store(tmp_path).put(outcomes(0, 4))
    good = Store(tmp_path)
    good.put(outcomes(4, 4))
    victim = next(path for path in shards(tmp_path) if f"{0:064x}" in map(bytes.hex, shard_keys(path)))
    content = bytearray(victim.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    victim.write_bytes(content[: {"truncated": len(content) - 7, "flipped": len(content), "empty": 0}[damage]])
    with caplog.at_level(logging.WARNING):
        store = Store(tmp_path)
        assert set(store.get(outcomes(0, 8))) == set(outcomes(4, 4))
    assert "damaged" in caplog.text
    assert len(shards(tmp_path)) == 1
    store.put(outcomes(0, 4))
    assert len(Store(tmp_path).get(outcomes(0, 8))) == 8


def test_damage_after_indexing_is_seen_when_read(tmp_path: Path) -> None:
    Store(tmp_path).put(outcomes(0, 4))
    store = Store(tmp_path)
    shards(tmp_path)[0].write_bytes(b"no")
    assert not store.get(outcomes(0, 4))
    assert f"{0:064x}" not in store


def test_records_are_kept_and_verified(tmp_path: Path) -> None:
    tensors = {"blocks.0.hook_mlp_out": np.arange(12, dtype=np.float32).reshape(3, 2, 2)}
    store = Store(tmp_path)
    assert store.record("a" * 64) is None
    store.put_record("a" * 64, tensors)
    found = Store(tmp_path).record("a" * 64)
    assert found is not None
    assert np.array_equal(found["blocks.0.hook_mlp_out"], tensors["blocks.0.hook_mlp_out"])
    path = next((tmp_path / "records").iterdir())
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
    store.put(outcomes(0, 2))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        store.put(outcomes(2, 2))
    monkeypatch.undo()
    assert [path.suffix for path in (tmp_path / "rows").iterdir()] == [".safetensors"]
    assert set(Store(tmp_path).get(outcomes(0, 4))) == set(outcomes(0, 2))


def test_clip_is_kept_as_sound(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 10).astype(np.float32) * 0.5
    store = Store(tmp_path)
    assert store.clip("a" * 64) is None
    store.put_clip("a" * 64, wave, 16_000)
    found = Store(tmp_path).clip("a" * 64)
    assert found is not None
    clip, rate = found
    assert rate == 16_000
    np.testing.assert_allclose(clip, wave, atol=2**-15)
    path = next((tmp_path / "clips").rglob("*.flac"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.clip("a" * 64) is None
