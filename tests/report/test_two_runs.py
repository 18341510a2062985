"""Two runs on one page: the cells that both have, prompt by prompt, and in which settings the runs differ."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.metrics.intervals import mean_intervals
from mech_music.report.__main__ import main
from mech_music.report.found import Found, read_results
from mech_music.report.page import Page
from mech_music.report.two_runs import build, names_of
from mech_music.results.sweep import remove_results
from mech_music.results.tables import summarise
from tests.made_up_results import made_up_table
from tests.report.test_folders import job, page_of


def made_up(table: pd.DataFrame) -> Found:
    return Found(Path("made up"), [], table, summarise(table, 50, 0.95, 0), None)


def data(page: Page) -> Any:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.html, re.DOTALL)
    assert text
    return json.loads(text[1])


def settings(page: Page) -> list[list[str]]:
    rows = re.findall(r"<tr><th scope=\"row\" class=\"word\">(.*?)</tr>", page.html)
    return [re.sub(r"(</?t[hd][^>]*>)+", "|", row).strip("|").split("|") for row in rows]


@pytest.fixture(scope="module")
def one() -> Found:
    return made_up(made_up_table(components=["mlp"], n_prompts=12))


@pytest.fixture(scope="module")
def two() -> Found:
    """Another technique and component beside, fewer prompts, and one nat more."""
    table = made_up_table(components=["mlp", "ca"], techniques=["adjust"], n_prompts=8)
    table["effectiveness"] += 1
    table.loc[(table["index"] == 0) & (table["layer"] == "2") & (table["role"] == "technique"), "failed"] = True
    return made_up(table)


def test_differences_are_those_of_the_prompts_that_both_have(one: Found, two: Found) -> None:
    found = data(build(one, two, ("one", "two")))
    cells = pd.DataFrame(found["columns"])
    assert len(cells) == 10
    assert set(found["axes"]) & {"technique", "prompts"} == set(), "what each run has one value of is a setting"
    for layer, n in (("0", 8), ("2", 7), ("together", 8)):
        cell = cells.query(f"component == 'mlp' and layer == '{layer}'").iloc[0]
        a, b = (
            run.table.query(f"role == 'technique' and component == 'mlp' and layer == '{layer}' and not failed")
            .set_index("index")
            .sort_index()
            for run in (one, two)
        )
        assert cell["n"] == n == len(b)
        assert (cell["a_n"], cell["b_n"]) == (12, n)
        assert cell["a_effectiveness"] == pytest.approx(a["effectiveness"].mean(), rel=1e-4)
        less = (b["effectiveness"] - a["effectiveness"].loc[b.index]).to_numpy()
        (mean,), (low,), (high,), _ = mean_intervals(less[:, None], 50, 0.95, 0)
        shown = [cell["d_effectiveness" + end] for end in ("", "_low", "_high")]
        assert shown == pytest.approx([mean, low, high], rel=1e-4)
    alone = cells.query("component == 'ca'")
    assert alone["n"].tolist() == [0] * 5
    assert np.isnan(alone[["d_effectiveness", "a_effectiveness"]].to_numpy(float)).all()
    assert np.isfinite(alone["b_effectiveness"].to_numpy(float)).all()


def test_without_configs_settings_are_those_of_the_tables(one: Found, two: Found) -> None:
    page = build(one, two, ("one", "two"))
    assert settings(page) == [
        ["technique", "replace", "adjust"],
        ["component", "mlp", "ca, mlp"],
        ["prompts", "12", "8"],
    ]
    assert "By the axes of their tables" in page.html


def test_settings_are_those_of_the_configs(sweep: Path) -> None:
    runs = [read_results(job(sweep, number))[0] for number in (0, 1)]
    page = build(runs[0], runs[1], ("0", "1"))
    told = {name: (one, two) for name, one, two in settings(page)}
    assert told.pop("strength") == ("1", "2")
    assert told.keys() == {"technique.shift.desired", "technique.shift.original"}, "the technique's, by the strength"
    assert "By the configs of all their jobs" in page.html
    assert str(sweep.parent) not in page.html
    same = build(runs[0], runs[0], ("a", "b"))
    assert "In none that decides a number." in same.html
    assert set(data(same)["columns"]["d_effectiveness"]) == {0.0}


def test_a_run_is_called_by_what_tells_it_apart() -> None:
    assert names_of([Path("/x/a"), Path("/y/b")]) == ("a", "b")
    assert names_of([Path("/x/one/run"), Path("/y/two/run")]) == ("one/run", "two/run")
    with pytest.raises(UserError, match="given twice"):
        names_of([Path("/x/a"), Path("/x/b/../a")])


def test_the_command_writes_one_page(copied: Path, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(job(copied, 0)), str(job(copied, 1))])
    (written,) = job(copied, 0).glob("beside-*.html")
    assert str(written) in capsys.readouterr().out
    assert not (job(copied, 0) / "report.html").exists()
    remove_results(job(copied, 0))
    assert not written.exists(), "it goes with the results that it was made of"


def test_runs_of_two_tasks_are_refused(sweep: Path, lens_found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert page_of(str(sweep), str(lens_found.folder)) == 1
    err = capsys.readouterr().err
    assert "share no task" in err and "interchange" in err and "decoder_lens" in err
    assert err.count("\n") == 1
