"""What is installed: the wheel carries all that a checkout has, one version everywhere, and no file names a host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import mech_music
from mech_music.base.versions import installed_versions
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
    assert "py.typed" in carried
    (metadata,) = installed.glob("*.dist-info/METADATA")
    assert f"\nVersion: {mech_music.__version__}\n" in metadata.read_text()
    parts = [("conf", ROOT), ("experiments", ROOT)]
    for part, folder in [*parts, *((f"tiny/{name}", ROOT / "mech_music") for name in ("bundle", "planted"))]:
        files = [path for path in (folder / part).rglob("*") if path.is_file()]
        assert [path for path in files if str(path.relative_to(folder)) not in carried] == []


def test_the_lock_has_hashes_and_no_hosts() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^(\S+)==.*?(?=^\S|\Z)", lock, flags=re.MULTILINE | re.DOTALL)
    blocks = re.split(r"^(?=\S+==)", lock, flags=re.MULTILINE)[1:]
    assert len(pinned) > 100
    assert [block.split("=")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_version_is_the_same_everywhere() -> None:
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(), "hatchling reads mech_music/__init__.py"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == mech_music.__version__
    released = re.findall(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0] == mech_music.__version__
    assert dict(installed_versions(["torch", "no-such-package"])) == {
        "mech_music": mech_music.__version__,
        "torch": version("torch"),
        "no-such-package": "not installed",
    }


def test_neither_hooks_nor_workflow_name_a_host() -> None:
    files = [ROOT / ".pre-commit-config.yaml", *(ROOT / ".github").rglob("*.yml")]
    assert len(files) == 4
    assert [str(file) for file in files if "://" in file.read_text()] == []


@pytest.mark.parametrize(
    ("found", "system", "fix"),
    [
        ("python3.12", "Linux x86_64", "type: PYTHON=python3.12 make env"),
        ("python3.9", "Linux x86_64", "install Python 3.11, 3.12 or 3.13"),
        ("python3.11", "Darwin x86_64", "not for Darwin x86_64"),
    ],
)
def test_make_env_says_in_one_line_what_to_do_with_another_python(
    tmp_path: Path, found: str, system: str, fix: str
) -> None:
    for name, does in ((found, "exit 0"), ("uname", f"echo {system}")):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{does}\n")
        command.chmod(0o755)
    make = shutil.which("make")
    assert make
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    words, bare = [make, "env", "PYTHON=python3.10"], {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(words, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=60)
    said, by_make = done.stderr.splitlines()
    assert done.returncode == 2 and said.endswith(fix) and "***" in by_make
    assert not (tmp_path / ".deps").exists() and not (tmp_path / ".venv").exists()


def test_make_help_explains_every_target() -> None:
    told = run(ROOT, "make")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert [target for target in targets if f"  {target} " not in told] == []
