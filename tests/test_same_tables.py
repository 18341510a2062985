"""The comparison of tables before and after a change: what it must find, and what does not count."""

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.same_tables import COMMANDS, compare, main

Change = Callable[[pd.DataFrame], pd.DataFrame]


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "role": ["lens", "lens", "other", "other"],
            "layer": ["0", "0", "together", "together"],
            "strength": [0.5, 2.0, 0.5, 2.0],
            "index": [0, 0, 1, 1],
            "prompt": ["a flute", "a flute", "a lute", "a lute"],
            "row": ["k1", "k2", "k3", "k4"],
            "ndcg": [0.0, 1 / 3, np.nan, 0.7],
            "failed": [False, False, True, False],
        }
    )


def _compared(folder: Path, change: Change) -> tuple[int, str]:
    """How many tables differ, and what is said, if ``change`` is what became of the table."""
    for name, table in (("before", _table()), ("after", change(_table()))):
        (folder / name / "job").mkdir(parents=True)
        table.to_parquet(folder / name / "job" / "table.parquet")
    said = io.StringIO()
    return compare(folder / "before", folder / "after", Console(file=said)), said.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: table.iloc[[2, 0, 3, 1]],
        lambda table: table.assign(row="another key", listener="a new column"),
        lambda table: table[["failed", *table.columns[:-1]]],
    ],
    ids=["nothing", "lines in another order", "keys and a new column", "columns in another order"],
)
def test_what_does_not_count(tmp_path: Path, change: Change) -> None:
    assert _compared(tmp_path, change) == (0, "job/table.parquet: equal\n1 of 1 tables are equal\n")


def _last_bit(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(ndcg=[0.0, np.nextafter(1 / 3, 1), np.nan, 0.7])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_last_bit, "ndcg differs in 1 lines, by up to 5.55e-17"),
        (lambda table: table.assign(ndcg=[-0.0, 1 / 3, np.nan, 0.7]), "ndcg differs in 1 lines, by up to 0\n"),
        (lambda table: table.assign(ndcg=[0.0, 1 / 3, 0.2, np.inf]), "ndcg differs in 2 lines, by up to inf"),
        (lambda table: table.assign(ndcg=[0.0, 1 / 3, np.nan, np.nan]), "ndcg differs in 1 lines, by up to nan"),
        (lambda table: table.assign(ndcg=table["ndcg"].astype(np.float32)), "ndcg is float32, was float64"),
        (lambda table: table.assign(ndcg=[1 / 3, 0.0, np.nan, 0.7]), "ndcg differs in 2 lines, by up to 0.333"),
        (lambda table: table.replace("a lute", "the lute"), "prompt differs in 2 lines: a lute before, the lute after"),
        (lambda table: table.assign(failed=False), "failed differs in 1 lines: True before, False after"),
        (lambda table: table.drop(columns="strength"), "column strength is missing"),
        (lambda table: table.iloc[1:], "4 lines before, 3 after"),
    ],
)
def test_what_counts(tmp_path: Path, change: Change, words: str) -> None:
    wrong, said = _compared(tmp_path, change)
    assert wrong == 1
    assert words in said


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_table_that_is_missing(tmp_path: Path, where: str) -> None:
    _compared(tmp_path, lambda table: table)
    (tmp_path / where / "job" / "table.parquet").unlink()
    assert compare(tmp_path / "before", tmp_path / "after", Console(file=io.StringIO())) == 1


def test_two_folders_without_tables_are_not_the_same(tmp_path: Path) -> None:
    assert compare(tmp_path, tmp_path, Console(file=io.StringIO())) == 1


def test_results_of_other_code_are_not_added_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code.txt").write_text("an earlier state")
    with pytest.raises(SystemExit, match="2"):
        main(["record", str(tmp_path)])
    assert "has results of other code: record in a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["technique", "task"])
def test_every_technique_and_task_has_a_command(group: str) -> None:
    words = [word.partition("=") for line in COMMANDS.values() for word in shlex.split(line)]
    chosen = {choice for key, _, choices in words if key == group for choice in choices.split(",")}
    names = {file.stem for file in (Path(__file__).parents[1] / "conf" / group).glob("*.yaml")}
    assert names - chosen <= {"interchange"}, "the default task is not typed"
