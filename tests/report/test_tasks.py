"""The pages of lenses and of self-similarity, and sweeps of several tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.prompts.declared import load_prompt_set
from mech_music.report.__main__ import main
from mech_music.report.default import view_of
from mech_music.report.found import Found, read_results
from mech_music.report.page import Page, build
from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from tests.composing import CommandLine
from tests.report.test_page import cells, part

STUDY = load_prompt_set()


def test_a_sweep_of_two_tasks_has_two_pages(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(mixed), "audio=0"])
    said = capsys.readouterr().out
    for task in ("decoder_lens", "interchange"):
        page = mixed / task / "report.html"
        assert f"{page}: " in said
        assert page.is_file()
        page.unlink()
    with pytest.raises(SystemExit):
        main([str(mixed), f"out={mixed / 'page.html'}"])
    err = capsys.readouterr().err
    assert str(mixed / "decoder_lens") in err
    assert err.count("\n") == 1
    assert not list(mixed.rglob("*.html"))


def test_a_part_knows_its_jobs(mixed: Path) -> None:
    """Its configs and clips are those of the sweep above it, and so is the command."""
    (part,) = read_results(mixed / "decoder_lens")
    assert part.folder == mixed / "decoder_lens"
    assert [run.layer for run in part.runs] == ["0,last"]
    assert "task=decoder_lens,interchange" in str(part.command)
    assert part.missing == []
    assert {found.schema.task for found in read_results(mixed)} == {"decoder_lens", "interchange"}


def test_a_part_is_found_before_the_sweep_has_ended(mixed: Path, tmp_path: Path) -> None:
    (part,) = read_results(mixed / "decoder_lens")
    for path in mixed.iterdir():
        if path.name not in ("decoder_lens", "interchange"):
            (tmp_path / path.name).symlink_to(path)
    (found,) = read_results(tmp_path / "decoder_lens")
    pd.testing.assert_frame_equal(found.table, part.table)


def test_every_number_of_a_lens_is_the_table_s(lens_page: Page, lens_found: Found) -> None:
    shown = cells(lens_page)
    assert len(shown) == 2 * 3
    for _, cell in shown.iterrows():
        for role, prefix in (("lens", ""), ("other", "other_")):
            behind = lens_found.table.query(
                f"role == '{role}' and layer == '{cell.layer}' and concept == '{cell.concept}'"
            )
            assert len(behind) == 3
            for metric in DECODER_LENS.metrics if role == "lens" else ("ndcg", "p"):
                assert float(str(cell[prefix + metric])) == pytest.approx(behind[metric].mean(), rel=1e-4)
    above = (shown["ndcg_low"] > shown["other_ndcg_high"]).to_numpy(int)
    below = (shown["ndcg_high"] < shown["other_ndcg_low"]).to_numpy(int)
    np.testing.assert_array_equal(shown["verdict"], above - below)


def test_a_layer_s_clip_is_beside_the_full_model_s(lens_page: Page, lens_found: Found, command: CommandLine) -> None:
    shown, samples, sounds = cells(lens_page), part(lens_page, "data")["samples"], part(lens_page, "sounds")
    assert len(samples) == len(shown)
    for place, heard in samples.items():
        cell = shown.iloc[int(place)]
        behind = lens_found.table.query(f"role == 'lens' and layer == '{cell.layer}' and concept == '{cell.concept}'")
        behind = behind.set_index("index")
        assert heard[0]["index"] == 0, "the first prompt, the same in every layer"
        assert heard[-1]["index"] in (0, behind["ndcg"].idxmax())
        for one in heard:
            assert (one["before"], one["after"]) == tuple(behind.loc[one["index"], ["baseline", "row"]])
            assert {one["before"], one["after"]} <= sounds.keys()
            assert (one["before"] == one["after"]) is (cell.layer == "7")
            assert one["ndcg_full"] == pytest.approx(behind.loc[one["index"], "ndcg_full"], rel=1e-4)
            (named,) = [label["name"] for label in one["labels"] if label["concept"]]
            assert named == {"guitar": "Guitar", "jazz": "Jazz"}[cell.concept]
    assert STUDY.concepts.keys() >= set(shown["concept"])


def test_all_concepts_are_pooled(similar: Found) -> None:
    """The mean of their means, and the widest of their intervals."""
    shown = view_of(SELF_SIMILARITY).beside(similar.summary)
    pooled = shown.query("concept == 'all concepts' and layer == '0' and other == '3'").iloc[0]
    single = shown.query("concept != 'all concepts' and layer == '0' and other == '3'")
    assert len(single) == 2
    for name in ("distance", "moved_cka"):
        assert pooled[name] == pytest.approx(single[name].mean())
        assert pooled[f"{name}_low"] == single[f"{name}_low"].min()
        assert pooled[f"{name}_high"] == single[f"{name}_high"].max()
    assert pooled["n"] == 3
    moved = similar.table.query("role == 'moved' and layer == '0' and other == '3'")
    assert pooled["moved_cosine"] == pytest.approx(moved["cosine"].mean())


@pytest.mark.parametrize(("task", "says"), [("similar", "half a clip later"), ("tuned", "The last layer is the end")])
def test_a_page_without_clips_opens_no_model(
    request: pytest.FixtureRequest, task: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("mech_music.report.clips.open_engine", refuse)
    page = build(request.getfixturevalue(task))
    assert page.clips == 0
    assert "No clips" not in page.html
    assert says in page.html
    assert np.isfinite(cells(page)[view_of(request.getfixturevalue(task).schema).rank or "n"]).all()
