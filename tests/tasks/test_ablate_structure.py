"""The task on a model whose copying is known, from its config to its table, verdict, figures and page; and mistakes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.engine.engine import Engine
from mech_music.results.tables import summarise
from mech_music.results.terminal import terminal_table
from mech_music.structure.causes.causality import CAUSAL, Statistics, read_criteria
from mech_music.structure.causes.conditions import Condition, FeatureSet
from mech_music.tasks.ablate_structure.columns import ABLATE_STRUCTURE
from mech_music.tasks.ablate_structure.lines import restored_by_piece
from mech_music.tasks.ablate_structure.page import page
from mech_music.tasks.ablate_structure.task import AblateStructure
from mech_music.tasks.ablate_structure.verdict import causality_of
from tests.composing import compose_run
from tests.structure.copying import CARD, N_FRAMES, CopyingGenerator

HOW = Statistics(200, 0.95, 0)


def composed(*words: str) -> Any:
    return compose_run("task=ablate_structure", "model=symbolic-tiny", *words)


def made(*words: str) -> Any:
    """A run of the copying model on its pieces."""
    run = composed("n_pieces=24", "sizes=[1]", "size=1", "draws=2", "recent=1", *words)
    run.pieces = {"_target_": "tests.structure.copying.CopiedPieces", "name": "copied"}
    run.model.layers, run.model.heads, run.duration = 1, 3, (N_FRAMES + 0.5) / 20.0
    run.statistics.resamples = 200
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pd.DataFrame, Path]:
    """The run, its table, and the folder of what it exports."""
    run, task, folder = made("ways=[mean,'0.5']"), AblateStructure(), tmp_path_factory.mktemp("done")
    engine = Engine.of(CopyingGenerator(), folder / "store", duration=run.duration, listeners={}, quiet=True)
    engine.how.workers = 1
    answers = engine.answers(task.plan(run), task.listeners(run))
    table = ABLATE_STRUCTURE.attach(task.score(run, answers))
    task.export(run, answers, table, "0123", folder)
    return run, table, folder


def test_the_head_that_copies_is_causal_and_specific(done: tuple[Any, pd.DataFrame, Path]) -> None:
    _, table, folder = done
    found = causality_of(table, 1, "mean", HOW)
    assert found.edited == "0.0" and found.causal and found.specific
    assert found.found.returns.mean > 0.9 * np.log(CARD) and abs(found.random.returns.mean) < 1e-5
    assert found.found.selectivity.mean > 5 and found.over_random.low > 3
    written = json.loads((folder / CAUSAL).read_text())
    assert [(one["size"], one["how"]) for one in written["found"]] == [(1, "mean"), (1, "0.5")]
    assert written["found"][0]["causal"]["holds"] and "−" not in json.dumps(written["found"][0]["found"])
    assert (folder / "figures" / "attention-by-lag_symbolic-tiny.png").is_file()


def test_another_run_reads_its_criteria_and_no_other_models(done: tuple[Any, pd.DataFrame, Path]) -> None:
    run, _, folder = done
    pieces = run.scores.pieces.id
    for place in (folder, folder / CAUSAL):
        found = read_criteria(str(place), "symbolic-tiny", pieces)
        assert [one.holds for one in found.values()] == [True, True] and "over random" in found["specific"].told
    own, other = (read_criteria(str(folder), "symbolic-tiny", pieces, weights) for weights in ("0123", "4567"))
    assert [one.holds for one in own.values()] == [True, True]
    assert [one.holds for one in other.values()] == [None, None], "trained anew since"
    assert "is of other weights of symbolic-tiny" in other["causal"].told
    with pytest.raises(UserError, match=r"it is of model symbolic-tiny and pieces '.*', not tiny-long and 'planted 2'"):
        read_criteria(str(folder), "tiny-long", "planted 2")
    (folder / "old.json").write_text("[]")
    for wrong in (folder / "nowhere", folder / "old.json", folder / "figures"):
        with pytest.raises(UserError, match="expected the output folder of a run of task=ablate_structure"):
            read_criteria(str(wrong), "symbolic-tiny", pieces)


def test_what_costs_returns_no_more_than_random_heads_do_is_not_specific(
    done: tuple[Any, pd.DataFrame, Path],
) -> None:
    """Returns lose more than new sections by any heads: that is no merit of those found."""
    _, table, _ = done
    own = table.query("role == 'found' and measured == 'likelihood'")
    alike = own.assign(role="random")
    both = pd.concat([own, alike])
    both.attrs = table.attrs
    found = causality_of(cast(pd.DataFrame, both), 1, "mean", HOW)
    assert found.found.difference.low > 0 and found.found.selectivity.low > 1 and not found.specific


def test_a_share_restored_knows_that_its_denominator_was_measured() -> None:
    rng = np.random.default_rng(0)
    worth = rng.gamma(1.0, 1.0, 40)
    own = restored_by_piece(0.5 * worth, worth)
    np.testing.assert_allclose(own, 0.5, err_msg="the same share of every piece is known exactly")
    back = rng.gamma(1.0, 0.5, 40)
    own = restored_by_piece(np.append(back, np.nan), np.append(worth, 1.0))
    assert np.nanmean(own) == pytest.approx(back.mean() / worth.mean()) and np.isnan(own[-1])
    drawn = rng.integers(40, size=(4000, 40))
    spread = (back[drawn].mean(1) / worth[drawn].mean(1)).std()
    assert np.nanstd(own) / 40**0.5 == pytest.approx(spread, rel=0.15)
    assert (back / worth.mean()).std() / 40**0.5 < 0.85 * spread, "a fixed denominator would say less"
    assert np.isnan(restored_by_piece(back, -worth)).all()


def test_arcs_lead_from_returns_to_their_source(done: tuple[Any, pd.DataFrame, Path]) -> None:
    """The copying head looks at the token behind the one that it repeats; in new music it rests before the piece."""
    run, _, folder = done
    shown = json.loads((folder / "timelines.json").read_text())
    assert len(shown) == run.timelines == 3
    for piece in shown:
        shares = {(a, b): share for a, b, share in piece["arcs"]["0.0"]}
        for section in (one for one in piece["sections"] if one["kind"] == "exact"):
            back = round(10 * (section["start"] - piece["sections"][section["source"]]["start"]))
            for at in (at for at, when in enumerate(piece["beats"]) if section["start"] < when < section["end"]):
                there = sum(shares.get((at, at - back + late), 0.0) for late in (0, 1))
                assert there > 0.9 or at % 3 == 2, "the section's last beat looks beyond the source"
        new = [at for at, when in enumerate(piece["beats"]) if when < piece["sections"][2]["start"]]
        assert not any(a in new and share > 0.2 for (a, _), share in shares.items()), "nothing returns yet"
    assert "DRAW.arcs" in page().script and page().verdict is not None


def test_random_heads_in_the_place_of_found_ones_are_neither(done: tuple[Any, pd.DataFrame, Path]) -> None:
    _, table, _ = done
    swapped = table.assign(role=table["role"].replace({"found": "random", "random": "found"}))
    found = causality_of(swapped, 1, "mean", HOW)
    assert not found.causal and not found.specific


def test_the_table_has_every_condition_of_every_tested_piece(done: tuple[Any, pd.DataFrame, Path]) -> None:
    _, table, _ = done
    likely = table[(table["measured"] == "likelihood") & (table["kind"] == "returns")]
    lines = list(zip(likely["role"], likely["how"], likely["piece"], strict=True))
    for role, how, each in (("found", "mean", 1), ("local", "0.5", 1), ("random", "mean", 2)):
        own = [piece for *condition, piece in lines if condition == [role, how]]
        assert len(set(own)) == 12 and len(own) == 12 * each, "half of the tracks, each draw"
    patched = table[(table["measured"] == "patching") & (table["role"] == "found")]
    assert np.mean(patched["restored"].tolist()) == pytest.approx(1.0, abs=0.05)
    assert not any(table["failed"].tolist())
    assert set(table["measured"]) == {"likelihood", "generation", "patching", "heads"}


def test_it_is_summarised_drawn_and_told(done: tuple[Any, pd.DataFrame, Path], tmp_path: Path) -> None:
    run, table, _ = done
    summary = summarise(table, 200, 0.95, 0, run.statistics.equivalence)
    own = summary.query("measured == 'likelihood' and kind == 'returns' and role == 'found' and how == 'mean'")
    assert len(own) == 1 and own["p_above"].item() <= 0.05 and own["over"].item() in ("random", "local")
    new = summary.query("measured == 'likelihood' and kind == 'new' and role == 'found' and how == 'mean'")
    assert new["delta"].item() < 0.3
    for figure in AblateStructure.figures():
        assert all(path.is_file() for path in figure(summary, tmp_path))
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(terminal_table(summary, 110))
    told = console.export_text()
    assert "found" in told and "▲" in told and "0.0" in told
    effects = page().beside(summary)
    assert {"random_delta", "local_delta", "verdict"} <= set(effects.columns)


# -- what is planned, and what cannot be -------------------------------------------------------------------


def test_everything_is_asked_at_one_size_and_the_first_way_in_all() -> None:
    run = composed("sizes=[1,2]", "size=2", "draws=3", "ways=[mean,zero]")
    forced, written, patched = run.planned()
    asked = [source.condition for source in forced]
    assert asked[0] == Condition()
    assert len(asked) == 1 + 2 * (1 + 3 + 1) + (1 + 3 + 1)
    assert {one.how for one in asked if one.size == 1} == {"mean"}
    assert {one.condition.role for one in written} == {"unedited", "found", "random", "local"}
    assert patched[-1].condition.role == "all"
    assert not composed("generate=false").planned()[1]


def test_features_and_the_direction_have_no_heads_to_patch() -> None:
    run = composed("features=[3,5]", "layer=1")
    assert isinstance(run.edited, FeatureSet) and run.edited.given == (3, 5)
    assert run.used_sizes == [1, 2] and run.at == 2 and not run.planned()[2]
    along = composed("direction=returns", "ways=[zero]", "layer=1")
    assert along.used_sizes == [1] and {one.condition.role for one in along.planned()[0]} == {
        "unedited", "found", "random"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["heads=[7.0]"], "heads=7.0: this model has layers 0 to 3"),
        (["heads=[1.4]"], "heads=1.4: this model has layers 0 to 3, each with heads 0 to 3"),
        (["heads=[one]"], "heads=one: expected layer and head of this model, such as 2.1"),
        (["heads=[1.1]", "features=[2]"], "heads and features are both given"),
        (["sizes=[]"], "sizes=[]: expected at least one"),
        (["sizes=[9]"], "sizes=9: the model has 16 heads"),
        (["draws=0"], "draws=0: expected 1 or more"),
        (["ways=[median]"], "how=median: expected mean, zero, or a factor"),
        (["n_pieces=3"], "n_pieces=3: expected 4 or more"),
        (["direction=tempo"], "unknown direction 'tempo'"),
        (["direction=returns"], "ways=mean: a direction is removed or scaled"),
        (["features=[1,1]", "sae.held_out=100"], "features=[1, 1]: a feature is named twice"),
        (["features=[1]", "layer='0,1'", "sae.held_out=100"], "layer=0,1: features and a direction are of one layer"),
        (["settle=-1"], "settle=-1: expected 0 beats or more"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        validate(composed(*words))
    assert str(error.value).startswith(said) and "\n" not in str(error.value)
