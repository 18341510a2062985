"""What is installed: the wheel carries all that a checkout has, and the lock names no host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mech_music.config.paths import conf_dir, experiments

ROOT = conf_dir().parent


def run(folder: Path, *words: str, **env: str) -> str:
    """What the command prints; its output is shown if it fails."""
    done = subprocess.run(words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_runs_from_anywhere(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    run(ROOT, sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    package = installed / "mech_music"
    elsewhere.mkdir()
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    words = ("-m", "mech_music.run", f"experiment={experiments()[0]}", "--info", "searchpath")
    assert str(package / "conf") in run(elsewhere, sys.executable, *words, PYTHONPATH=str(installed))
    carried = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    for part, folder in (("conf", ROOT), ("experiments", ROOT), ("tiny/bundle", ROOT / "mech_music")):
        files = [path for path in (folder / part).rglob("*") if path.is_file()]
        assert [path for path in files if str(path.relative_to(folder)) not in carried] == []


def test_the_lock_has_hashes_and_no_hosts() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^(\S+)==.*?(?=^\S|\Z)", lock, flags=re.MULTILINE | re.DOTALL)
    blocks = re.split(r"^(?=\S+==)", lock, flags=re.MULTILINE)[1:]
    assert len(pinned) > 100
    assert [block.split("=")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_make_help_explains_every_target() -> None:
    told = run(ROOT, "make")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert [target for target in targets if f"  {target} " not in told] == []
