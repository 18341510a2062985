"""The figures of lenses and similarities: drawn from a summary alone, the same bytes each time, with their words."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mech_music.results.figures import draw_all
from mech_music.results.tables import summarise
from tests.made_up_lenses import decoder_lens_table, self_similarity_table, tuned_lens_table


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    return summarise(table, resamples=50, level=0.95, seed=0)


def _words(path: Path) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.with_suffix(".svg").read_text()))


TABLES = {
    "decoder lens": decoder_lens_table(lenses=("decoder", "tuned")),
    "tuned lens": tuned_lens_table(),
    "self-similarity": self_similarity_table(("guitar", "jazz")),
}
DRAWN = {
    "decoder lens": ["lens_tiny"],
    "tuned lens": ["tuned-lens_tiny"],
    "self-similarity": ["distances_tiny", "similarity_tiny"],
}
WORDS = {
    "distances_tiny": ("instrument: guitar", "genre: jazz", "time average first", "Euclidean distance",
                       "above, 0.50 to 0.50 of that", "Means over 6 prompts"),
    "lens_tiny": ("guitar", "jazz", "NDCG of its labels", "layer read", "control: prompts without it", "full model",
                  "n = 6 clips each"),
    "tuned-lens_tiny": ("nats", "after guidance", "same most", "layer read", "n = 6 clips each"),
    "similarity_tiny": ("Euclidean distance", "cosine", "CKA (unbiased)", "to layer 10", "control: half a clip later",
                        "n = 6 of each of 2 concepts: guitar, jazz"),
}  # fmt: skip


@pytest.mark.parametrize("of", list(TABLES))
def test_figures_are_drawn_the_same_each_time_and_say_what_they_show(tmp_path: Path, of: str) -> None:
    summary = _summary(TABLES[of])
    one, two = (draw_all(summary, tmp_path / folder) for folder in "ab")
    assert {path.name for path in one} == {f"{name}.{ending}" for name in DRAWN[of] for ending in ("png", "svg")}
    assert sorted((tmp_path / "a").iterdir()) == sorted(one), "nothing beside what is named"
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
    for name in DRAWN[of]:
        with Image.open(tmp_path / "a" / f"{name}.png") as image:
            assert image.size[0] > 800
        for needed in WORDS[name]:
            assert needed in _words(tmp_path / "a" / f"{name}.svg"), needed


@pytest.mark.parametrize("of", list(TABLES))
def test_figures_of_a_sweep_do_not_take_each_others_place(tmp_path: Path, of: str) -> None:
    table = TABLES[of]
    paths = draw_all(_summary(pd.concat([table, table.assign(component="sa"), table.assign(seed=3)])), tmp_path)
    assert len({path.name for path in paths}) == len(paths) == 6 * len(DRAWN[of])


@pytest.mark.parametrize("table", [decoder_lens_table, tuned_lens_table, self_similarity_table])
def test_one_layer_is_drawn_too(tmp_path: Path, table) -> None:
    assert draw_all(_summary(table(layers=("7",))), tmp_path)
