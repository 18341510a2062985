"""The workspace and the report that a folder's runs get, where they are written, and how they are published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mech_music.dashboard.__main__ import main, newest
from tests.composing import CommandLine
from tests.dashboard.conftest import SINGLE, Server, without_figures
from tests.dashboard.keys import logged, named, panels


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of ``python -m mech_music.dashboard <words>``."""
    monkeypatch.setattr("sys.argv", ["dashboard", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def spec(folder: Path, name: str = "workspace.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text())["spec"]


def test_a_sweep_with_two_pairs_a_job(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, str(made / "sweep"), "--out", str(tmp_path)) == 0
    keys = named(tmp_path)
    assert keys.missing(logged(made / "sweep")) == []
    assert {"guitar-piano/effectiveness_low", "jazz-rock/control/random/precision"} <= keys.history
    assert {"guitar-piano/together/effectiveness", "jazz-rock/best/precision"} <= keys.summary
    assert "audio" in keys.media
    section = spec(tmp_path)["section"]
    names = [one["name"] for one in section["panelBankConfig"]["sections"]]
    assert {"Layer by component", "Dose and response", "Clips"} <= set(names)
    (runs,) = section["runSets"]
    group = "/".join((made / "sweep").parts[-2:])
    assert [(one["key"]["name"], one["value"]) for one in runs["filters"]["filters"]] == [("group", group)]
    assert [one["name"] for one in runs["grouping"]] == ["component.value"]
    assert ("Scatter Plot", "jazz-rock, together: effectiveness, log-odds (nats)") in panels(tmp_path, "workspace.json")


def test_a_single_run_without_a_genre_to_keep(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across categories nothing is kept, and of the controls one was run: neither is named."""
    assert command(monkeypatch, str(made / "run"), "--out", str(tmp_path)) == 0
    keys, found = named(tmp_path), logged(made / "run")
    assert keys.missing(found) == []
    assert "control/noise/effectiveness" in keys.history
    assert not {key for key in keys.history if "kept" in key or "self" in key}
    (one,) = spec(tmp_path)["section"]["runSets"][0]["filters"]["filters"]
    (folder,) = (made / "run" / "wandb").glob("offline-run-*")
    assert one["key"]["name"] == "name" and folder.name.endswith(one["value"][0])
    titles = [panel[1] for panel in panels(tmp_path, "report.json")]
    assert "kept" not in titles and "flipped" in titles


def test_a_pair_for_each_job_is_a_grid_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)
    pairs = ["jazz-rock", "guitar-piano"]
    assert CommandLine(tmp_path, monkeypatch)("-m", *SINGLE[:-1], f"pair={','.join(pairs)}", "audio.strongest=0") == 0
    assert command(monkeypatch, str(tmp_path / "sweep")) == 0
    blocks = spec(tmp_path / "sweep" / "dashboard", "report.json")["blocks"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    filtered = [[one["value"] for one in grid["runSets"][0]["filters"]["filters"]][-1] for grid in grids]
    assert filtered[:4] == [*pairs, *pairs]
    line = grids[0]["panelBankSectionConfig"]["panels"][0]["config"]
    assert len(line["overrideSeriesTitles"]) == len(line["metrics"]), "the lines of this pair's only run"
    assert set(line["overrideMarks"].values()) == {"solid", "dotted", "dotdotdash"}


def test_the_same_runs_give_the_same_bytes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        assert command(monkeypatch, str(made / "sweep"), "--out", str(folder)) == 0
    first, second = ([path.read_bytes() for path in sorted(folder.iterdir())] for folder in folders)
    assert first == second and len(first) == 2


def test_published_twice_is_brought_up_to_date(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert command(monkeypatch, str(made / "run"), "--out", str(tmp_path), "--publish", "--project", "mine") == 0
    assert "Open: http" in capsys.readouterr().out
    assert [view["type"] for view in server.saved] == ["project-view", "runs"] * 2
    assert {(view["entityName"], view["projectName"]) for view in server.saved} == {("me", "mine")}
    assert [view.get("id") for view in server.saved] == [None, None, "view1", "view2"]
    assert len({view["name"] for view in server.saved if view["type"] == "project-view"}) == 1


def test_without_a_login_one_line_and_nothing_written(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    assert command(monkeypatch, str(made / "run"), "--out", str(tmp_path / "out"), "--publish") == 1
    assert capsys.readouterr().err == (
        "mech_music: --publish needs a W&B login: run `wandb login` once, or leave it out to write files only\n"
    )
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_shown_is_one_line(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unlogged = shutil.copytree(made / "run", tmp_path / "unlogged", ignore=shutil.ignore_patterns("wandb"))
    monkeypatch.chdir(tmp_path)
    for words, said in (([str(unlogged)], "logger=wandb"), (["nowhere"], "no folder 'nowhere'"), ([], "no results in")):
        assert command(monkeypatch, *words) == 1
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1


def test_the_newest_folder_is_the_default(made: Path, tmp_path: Path) -> None:
    for name in ("outputs/1/old", "multirun/1/new"):
        shutil.copytree(made / "run", tmp_path / name)
    assert newest(tmp_path) == tmp_path / "multirun/1/new"


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(monkeypatch, "--help") == 0
    assert "--publish" in capsys.readouterr().out
