"""The browser of a job: made when it ends, and again by the report: on an untrained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.cli.job import browse
from mech_music.edits.row import Edit, Half
from mech_music.edits.splice import Splice
from mech_music.engine.engine import Answers
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.report.features.job import browser_again, browser_of
from mech_music.saes.browsing import BrowserConfig
from mech_music.saes.catalogue import Catalogue, Steering, feature_set, sources_of
from mech_music.tasks.protocol import Browsing
from mech_music.tasks.sae.task import SaeTask
from tests.composing import compose_run
from tests.made_engine import MadeEngine, engine
from tests.saes.made_features import LABELS
from tests.saes.test_browser_data import piece
from tests.saes.test_recorded import FIRING, HOOK, SAE

ASKED = BrowserConfig(features=3, strongest=2, median=0, random=1, steered=1, strengths=[30.0])


class MadeTask:
    """One SAE, its firing on the clips that it was trained on."""

    def browsed(self, run: Any) -> list[Any]:
        return [FIRING, *sources_of(SAE, FIRING, ASKED)] if run else []

    def catalogue(self, run: Any, answers: Answers) -> Catalogue:
        moments, _ = sources_of(SAE, FIRING, ASKED)
        words = {("genre", "rock"): np.array(["rock" in row.prompt for row in FIRING.harvest.rows])}
        of = feature_set(1, 3, 25.0, moments, words, answers.records, Steering(FIRING, (30.0,)))
        return Catalogue("made", [of], ASKED.features, ASKED.steered)


@pytest.fixture(scope="module")
def own(made: HookedMusicGen, tmp_path_factory: pytest.TempPathFactory) -> MadeEngine:
    return engine(made, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def job(own: MadeEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    browse(MadeTask(), True, own, folder)  # pyright: ignore[reportArgumentType]
    return folder


def test_a_job_leaves_its_features_with_sound_and_steered_clips(job: Path, own: MadeEngine) -> None:
    place = job / "features"
    told, clips = piece(place, "0"), piece(place, "0/clips")
    assert piece(place, "about")["sets"][0]["hook"] == HOOK and len(told["heard"]) == 3 and len(told["steered"]) == 1
    page = piece(place, "0/0")[told["steered"][0]]
    versions = page["steered"]["versions"]
    assert [one["name"] for one in versions] == ["erased", "α = 30"]
    original = clips["files"][str(page["steered"]["clip"])]
    assert len({one["sound"] for one in (original, *versions)}) == 3
    assert all((place / one[part]).is_file() for one in (original, *versions) for part in ("sound", "image"))
    of = MadeTask().catalogue(True, own.answers(MadeTask().browsed(True))).sets[0]
    found = of.steered(told["steered"][0])
    assert found is not None and found[0] == of.rows[page["steered"]["clip"]]
    rows = [found[0], found[1]["α = 30"]]
    before, after = (own.answers(rows).tokens(row) for row in rows)
    assert not np.array_equal(before, after), "what is added is heard"
    assert (place / "index.html").is_file()


def test_what_a_feature_is_steered_with() -> None:
    edits = Steering(FIRING, (0.5, 2.0)).edits(HOOK, 7)
    assert list(edits) == ["erased", "α = 0.5", "α = 2"]
    erased, added = edits["erased"], edits["α = 2"]
    assert isinstance(erased, Splice) and erased.error and erased.changes[0].feature == 7
    assert isinstance(added, Edit) and added.shift[0].weight == 2 and added.shift[0].source.feature == 7
    assert erased.half is added.half is Half.cond


def test_the_report_makes_it_again_with_new_labels(job: Path, own: MadeEngine, tmp_path: Path) -> None:
    LABELS.assign(hook=HOOK).to_csv(tmp_path / "labels.csv", index=False)
    assert ", 2 labelled, " in browser_again(MadeTask(), True, own, job, tmp_path)
    assert piece(job / "features", "0")["labels"]["9"] == ["a bell", None]
    assert ", no labels, " in browser_again(MadeTask(), True, own, job)
    with pytest.raises(UserError, match=r"^no labels in '.*features': expected a folder with labels.csv"):
        browser_of(MadeTask(), True, own, job, job / "features")


def test_what_the_store_has_no_more_is_said_and_nothing_is_touched(job: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in job.rglob("*")}
    empty = engine(None, tmp_path)
    assert browser_again(MadeTask(), True, empty, job).startswith(f"features of {job.name} are left as they are: the")
    assert browser_again(MadeTask(), True, empty, tmp_path).startswith(f"features of {tmp_path.name} are not shown: ")
    assert before == {path: path.stat().st_mtime_ns for path in job.rglob("*")}


def test_there_is_none_where_none_is_asked_for(own: MadeEngine, tmp_path: Path) -> None:
    assert browser_of(MadeTask(), False, own, tmp_path) is None and browser_of(object(), True, own, tmp_path) is None
    assert browser_again(object(), True, own, tmp_path) == "" and not (tmp_path / "features").exists()


def test_the_task_asks_for_what_it_shows() -> None:
    run, task = compose_run("task=sae", 'layer="2,4"', "sae.held_out=10", "browser.median=0"), SaeTask()
    assert isinstance(task, Browsing)
    kinds = [type(one).__name__ for one in task.browsed(run)]
    assert kinds == ["Firing", "Moments", "DecoderReadout"] * 2
    assert task.browsed(run)[1].kinds == [0] * 6 + [2] * 2
    assert {one.firing.harvest.prompts.name for one in task.browsed(run)[1::3]} == {"held out"}
    assert task.browsed(compose_run("task=sae", "browser.features=0")) == []


BAD = {
    "browser.features=-1": "browser.features=-1: expected 0 or more",
    "browser.strongest=0": "browser.strongest=0: expected 1 or more",
    "browser.steered=101": "browser.steered=101: expected at most browser.features, 100",
    "browser.strengths=[0]": "browser.strengths=0: expected finite numbers other than 0",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        compose_run("task=sae", word).check()
    with pytest.raises(UserError, match="^browser.steered needs browser.random=1 or more"):
        compose_run("task=sae", "browser.steered=1", "browser.random=0").check()
