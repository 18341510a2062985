"""A real offline W&B run is made and read back from its own file."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.results.audio import Clip, write_wav
from mech_music.results.tables import summarise
from mech_music.tasks.interchange.controls import beside_controls
from mech_music.tasks.interchange.figures import layer_curves
from mech_music.tracking import wandb as tracking
from mech_music.tracking.curves import curves_of
from tests.made_up_results import made_up_table
from tests.wandb_records import finished

CONFIG = {"model": {"name": "tiny"}, "component": "mlp", "layer": "all", "prompts": 12}


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B sees an empty home and no key, and leaves nothing outside the test's folder."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
        (tmp_path / "home" / name).mkdir(parents=True)


def _open(folder: Path, mode: str = "offline", **changes: Any):
    about: dict[str, Any] = {
        "project": "mech_music",
        "run_id": tracking.run_id(CONFIG),
        "group": "sweep-1",
        "name": "mlp all",
        "tags": ["tiny", "replace"],
        "config": CONFIG,
    }
    return tracking.open_tracker(mode, folder=folder, **(about | changes))


def _runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


@pytest.fixture
def table() -> pd.DataFrame:
    return made_up_table()


@pytest.fixture
def summary(table: pd.DataFrame) -> pd.DataFrame:
    return summarise(table, 50, 0.95, 0)


def test_an_offline_run_holds_everything(tmp_path: Path, table: pd.DataFrame, summary: pd.DataFrame) -> None:
    wav = tmp_path / "audio" / "strongest-1_edited.wav"
    write_wav(wav, np.sin(np.arange(3200) / 5).astype(np.float32), 32000)
    with _open(tmp_path) as tracker:
        tracker.log_origin({"source": "facebook/musicgen-small @ 4c83"})
        tracker.log_summary(summary)
        tracker.log_table(table)
        tracker.log_audio([Clip(wav, "edited: guitar → piano")])
        tracker.log_figures(layer_curves(summary, tmp_path / "figures"))
    (folder,) = _runs(tmp_path)
    run = finished(folder)

    assert {key: run.config[key] for key in CONFIG} == CONFIG
    assert run.config["origin"] == {"source": "facebook/musicgen-small @ 4c83"}
    assert run.run.run_id == tracking.run_id(CONFIG)
    assert (run.run.project, run.run.run_group, run.run.display_name) == ("mech_music", "sweep-1", "mlp all")
    assert list(run.run.tags) == ["tiny", "replace"]
    assert run.exit == 0

    curve = {line["layer"]: line for line in run.history if "effectiveness" in line}
    effects = beside_controls(summary)
    single = effects[effects["layer"].str.isdecimal()].set_index("layer")
    assert sorted(curve) == [0, 1, 2, 10]
    for layer, logged in curve.items():
        expected = single.loc[str(layer)].to_dict()
        assert logged["effectiveness"] == pytest.approx(expected["effectiveness"])
        assert logged["precision_low"] == pytest.approx(expected["precision_low"])
        assert logged["control/self/effectiveness"] == pytest.approx(expected["self_effectiveness"])
        assert logged["control/noise/effectiveness_high"] == pytest.approx(expected["noise_effectiveness_high"])
    assert run.steps["effectiveness"] == run.steps["control/random/effectiveness"] == "layer"
    assert run.summary["best/layer"] == 10
    assert run.summary["best/above_controls"] == 1
    assert run.summary["together/effectiveness"] > run.summary["best/effectiveness"]

    tables = {path.name.split("_")[0]: json.loads(path.read_text()) for path in run.files.rglob("*.table.json")}
    assert tables["clips"]["columns"] == list(table.columns)
    assert len(tables["clips"]["data"]) == len(table)
    assert tables["clips"]["data"][0][:3] == ["interchange", "tiny", "tiny"]
    assert len(tables["summary"]["data"]) == len(summary)

    logged = {key: value for line in run.history for key, value in line.items()}
    assert logged["audio/captions"] == ["edited: guitar → piano"]
    (sound,) = run.files.rglob("*.wav")
    assert sound.read_bytes() == wav.read_bytes()
    assert [key for key in logged if key.startswith("figures/layers_")], sorted(logged)
    assert len(list(run.files.rglob("*.png"))) == 1


def test_a_rerun_takes_the_place_of_its_run(tmp_path: Path, summary: pd.DataFrame) -> None:
    for _ in range(2):
        with _open(tmp_path) as tracker:
            tracker.log_summary(summary)
    (folder,) = _runs(tmp_path)
    assert finished(folder).run.run_id == tracking.run_id(CONFIG)
    (folder / f"run-{tracking.run_id(CONFIG)}.wandb.synced").touch()
    with _open(tmp_path):
        pass
    assert folder in _runs(tmp_path), "a run that a server has seen is left alone"


def test_a_failed_job_is_marked_failed_and_keeps_the_run_before(tmp_path: Path) -> None:
    with _open(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), _open(tmp_path):
        raise ZeroDivisionError
    assert {finished(folder).exit for folder in _runs(tmp_path)} == {0, 1}


def test_the_id_comes_from_the_config() -> None:
    assert tracking.run_id(CONFIG) == tracking.run_id(dict(reversed(CONFIG.items())))
    assert tracking.run_id(CONFIG) != tracking.run_id(CONFIG | {"layer": "0"})


def test_several_pairs_in_one_job_have_keys_of_their_own() -> None:
    pairs = [("guitar", "piano"), ("jazz", "rock")]
    summary = summarise(made_up_table(pairs=pairs, components=["mlp", "sa"]), 50, 0.95, 0)
    found = curves_of(summary)
    curves, values = found.history, found.summary
    assert {key.rsplit("/", 1)[0] for key in curves[0] if key.endswith("/flipped")} == {
        "guitar-piano/mlp",
        "guitar-piano/sa",
        "jazz-rock/mlp",
        "jazz-rock/sa",
    }
    assert "jazz-rock/sa/control/self/effectiveness" in curves[0]
    assert values["jazz-rock/sa/best/layer"] == 10


def test_missing_values_are_not_logged(summary: pd.DataFrame) -> None:
    summary.loc[:, ["kept", "kept_low", "kept_high"]] = np.nan
    found = curves_of(summary)
    curves, values = found.history, found.summary
    assert "kept" not in curves[0]
    assert not np.isnan([*values.values(), *(v for metrics in curves.values() for v in metrics.values())]).any()


@pytest.mark.parametrize("mode", ["none", "disabled"])
def test_no_logger_writes_nothing(tmp_path: Path, mode: str, table: pd.DataFrame, summary: pd.DataFrame) -> None:
    with _open(tmp_path / "job", mode) as tracker:
        tracker.log_summary(summary)
        tracker.log_table(table)
        tracker.log_audio([])
        tracker.log_figures([])
    assert not (tmp_path / "job").exists()


def test_online_without_a_login_is_one_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="run `wandb login` once, or use logger.mode=offline"),
        _open(tmp_path, "online"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write W&B's folder"), _open(tmp_path / "file"):
        pass


def test_wandb_says_nothing(tmp_path: Path, summary: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    console = logging.StreamHandler()
    logging.getLogger().addHandler(console)
    try:
        with _open(tmp_path) as tracker:
            tracker.log_summary(summary)
    finally:
        logging.getLogger().removeHandler(console)
    assert capfd.readouterr() == ("", "")
