"""The three tasks on the bundled model through the command line, in this process: from its words to what it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from mech_music.dashboard.__main__ import run
from mech_music.dashboard.panels import sections_of
from mech_music.results.tables import conform, read_summary, read_table
from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from mech_music.tasks.tuned_lens.columns import TUNED_LENS
from tests.composing import CommandLine
from tests.dashboard.keys import logged, named

SMALL = ("prompts=2", "duration=0.4", "statistics.resamples=20", "concept=guitar", "audio.strongest=1")
FIT = ("lens.clips=64", "lens.held_out=3", "lens.epochs=2", "layer='0,6,last'", "engine.workers=1")


def own(words: Sequence[str]) -> list[str]:
    """The small words that go with a task: the tuned lens has no concepts."""
    return [word for word in SMALL if "task=tuned_lens" not in words or not word.startswith("concept=")]


class Program:
    """The command line with a store of its own; a folder for each run."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        patch.setenv("MECH_MUSIC_STORE", str(folder / "store"))

    def __call__(self, name: str, *words: str) -> Path:
        """Where the results are."""
        command = CommandLine(self.folder / name, self.patch, made_up=False)
        flags = [word for word in words if word.startswith("-")]  # before the overrides, of which the last ones win
        given = [*own(words), *(word for word in words if word not in flags)]
        if "task=tuned_lens" in words:
            given = [word for word in given if not word.startswith("concept=")]
        assert command(*flags, *given) == 0
        return command.folder / ("sweep" if "-m" in words else "run")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with pytest.MonkeyPatch.context() as patch:
        yield Program(tmp_path_factory.mktemp("program"), patch)


@pytest.fixture(scope="module")
def trained(program: Program) -> Path:
    return program("trained", "task=tuned_lens", *FIT)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_tuned_lens_is_trained_measured_and_exported(trained: Path) -> None:
    table = read_table(trained / "table.parquet")
    pd.testing.assert_frame_equal(table, conform(table))
    assert len(table) == 2 * 2 * 3 and set(table["layer"]) == {"0", "6"}
    assert np.isfinite(table[list(TUNED_LENS.metrics)].to_numpy()).all()
    kl = {key: np.mean(lines["kl"]) for key, lines in table.groupby(["layer", "lens"])}
    assert all(kl[layer, "tuned"] < 0.9 * kl[layer, "decoder"] for layer in "06")
    assert {"lens.safetensors", "lens.json"} <= files(trained)
    assert files(trained / "figures") == {"tuned-lens_tiny.png", "tuned-lens_tiny.svg"}


def test_the_lens_reads_the_same_from_its_file_and_from_the_store(
    program: Program, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both readings in one sweep; only the keys of the rows tell where the lens came from."""
    words = ("-m", "task=decoder_lens", "lens=tuned", "reading=free,forced", *FIT)
    stored, given = program("stored", *words), program("given", *words, f"lens.path={trained}")
    a, b = (read_table(folder / "table.parquet") for folder in (stored, given))
    pd.testing.assert_frame_equal(a.drop(columns="row"), b.drop(columns="row"))
    translated, agreement = np.asarray(a["layer"] != "7"), np.asarray(a["agreement"])
    assert np.array_equal(np.asarray(a["row"] != b["row"]), translated)
    assert np.array_equal(np.asarray(a["row"] != a["baseline"]), translated)
    assert len(a) == 2 * 3 * 2 * 2 and not a["failed"].to_numpy().any()
    assert (agreement[~translated] == 1).all() and (agreement[translated] < 1).any()
    assert np.isfinite(a[list(DECODER_LENS.metrics)].to_numpy()).all()
    summary = read_summary(stored / "summary.parquet")
    assert len(summary) == 2 * 3 * 2
    names = {f"lens_tiny_reading-{reading}.{end}" for reading in ("free", "forced") for end in ("png", "svg")}
    assert files(stored / "figures") == names
    clips = list(stored.glob("*/audio/*.wav"))
    assert len(clips) == 2 * 3
    assert all(soundfile.info(clip).duration == 0.4 for clip in clips)
    assert "NDCG" in capsys.readouterr().out


def test_self_similarity(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    folder = program("similar", "task=self_similarity", "half=cond", "layer=all")
    table = read_table(folder / "table.parquet")
    pd.testing.assert_frame_equal(table, conform(table))
    assert len(table) == 2 * 36 * 2
    assert np.isfinite(table[list(SELF_SIMILARITY.metrics)].to_numpy()).all()
    own = table[(table["layer"] == table["other"]) & (table["role"] == "layers")]
    np.testing.assert_array_equal(own["distance"], 0)
    np.testing.assert_allclose(own["cka"], 1)
    drawn = {f"{name}_tiny.{ending}" for name in ("similarity", "distances") for ending in ("png", "svg")}
    assert files(folder / "figures") == drawn
    assert "from layer 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("task=decoder_lens", "layer=together"), "layer=together: a lens reads one layer at a time"),
        (("task=tuned_lens", "layer=last"), "layer=last: the last layer's output is the end itself"),
        (("task=decoder_lens", "lens=tuned", "lens.path=nowhere"), "no lens in 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    line: str,
) -> None:
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    status = CommandLine(tmp_path, monkeypatch, made_up=False)(*words, *own(words))
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"mech_music: {line}")


def test_the_dashboard_of_a_lens_names_what_was_logged(program: Program) -> None:
    """Every key of a section whose first key was logged; none that was not."""
    logger = ("logger=wandb", "concept=guitar+jazz")
    places = [program("watched", "task=decoder_lens", "layer='0,last'", *logger)]
    places += [program("alike", "task=self_similarity", *logger), program("fitted", "task=tuned_lens", *FIT, *logger)]
    shown = set()
    for place in places:
        run([str(place)], Console(quiet=True))
        found, keys = logged(place), named(place / "dashboard")
        assert keys.missing(found) == [] and len(keys.history) > 5
        shown |= {key.removeprefix("guitar/").removeprefix("tuned/") for key in keys.history}
    sections = [section for schema in (DECODER_LENS, SELF_SIMILARITY, TUNED_LENS) for section in sections_of(schema)]
    curves = [panel for section in sections for panel in section.panels if panel.kind == "curves"]
    assert {key for panel in curves for key in (*panel.keys, *panel.if_logged)} <= shown
