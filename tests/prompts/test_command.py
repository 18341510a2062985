"""``mech-music concepts``, and the command lines that ask about concepts beyond the study's ten."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mech_music.prompts.__main__ import main
from tests.prompts.test_declared import MINE


def listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    main(words)
    return capsys.readouterr().out


def test_everything_that_can_be_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = listed(capsys, monkeypatch)
    for words in ("hip-hop", "Hip hop music", "slow-to-medium", "flute (not in instruments)", "90: guitar-piano",
                  "one of instrument and genre", "Compose a {mood} {genre} piece"):  # fmt: skip
        assert words in said


def test_a_set_and_a_file_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prompt_set").mkdir()
    OmegaConf.save(OmegaConf.create(MINE), tmp_path / "prompt_set" / "mine.yaml")
    said = listed(capsys, monkeypatch, "prompt_set=mine", "--config-dir", str(tmp_path))
    assert "prompt_set=mine" in said and "Banjo" in said and "6: banjo-harp" in said and "folk" in said
    (tmp_path / "mine.csv").write_text("text,instrument,thing,pace\nA banjo,banjo,,\n")
    said = listed(capsys, monkeypatch, "prompt_set=mine", f"prompt_set.file={tmp_path / 'mine.csv'}",
                  "--config-dir", str(tmp_path))  # fmt: skip
    assert "1 prompts of" in said


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["prompt_set=velez"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    allowed = ", ".join(sorted(path.stem for path in Path("conf/prompt_set").glob("*.yaml")))
    assert line == f"mech_music: unknown prompt_set 'velez'; did you mean velez2024? Allowed: {allowed}"
