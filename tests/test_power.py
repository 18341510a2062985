"""``mech-music power`` on a folder of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from mech_music.power import main
from mech_music.results.tables import write_table
from mech_music.tasks.interchange.columns import INTERCHANGE
from tests.made_up_results import made_up_table


def test_the_table_of_a_pilot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(INTERCHANGE.attach(made_up_table(layers=("0", "1"))), tmp_path / "table.parquet")
    main([str(tmp_path), "effect=1.5", "prompts=4,24"])
    out = capsys.readouterr().out
    cells = (line.replace("│", " ").split() for line in out.splitlines())
    shares = {line[0]: float(line[1]) for line in cells if len(line) == 2 and line[0].isdecimal()}
    assert shares["4"] == 0.0, "four prompts can never be marked"
    assert shares["24"] >= 0.9
    assert "2 sites" in out and "12 prompts, 1 clips of each" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected one folder of results"),
        (["{}", "effct=2"], "unknown word 'effct'; did you mean effect?"),
        (["{}", "prompts=many"], "prompts whole numbers"),
        (["{}", "level=2"], "0 < level < 1"),
        (["{}/no"], "no folder"),
        (["{}"], "no results table"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([word.format(tmp_path) for word in words])
    err = capsys.readouterr().err
    assert end.value.code == 1 and said in err and "Traceback" not in err
