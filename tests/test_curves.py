"""What a run of a lens or of a similarity logs by layer: keys, and the values of the summary."""

from __future__ import annotations

import pandas as pd
import pytest

from mech_music.results.tables import summarise
from mech_music.tracking.curves import curves_of
from tests.made_up_lenses import decoder_lens_table, self_similarity_table, tuned_lens_table


def _curves(table: pd.DataFrame) -> dict[float, dict[str, float]]:
    found = curves_of(summarise(table, 50, 0.95, 0))
    assert sorted(found.history) == [0, 1, 2, 10]
    assert (found.x, found.summary) == ("layer", {})
    return found.history


def test_a_lens_of_one_concept() -> None:
    curves = _curves(decoder_lens_table(("guitar",)))
    assert [curves[layer]["ndcg"] for layer in curves] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert curves[10]["control/other/ndcg"] == pytest.approx(0.2)
    assert curves[10]["ndcg_low"] < curves[10]["ndcg"] < curves[10]["ndcg_high"]
    metrics = {"ndcg", "ndcg_full", "p", "heard", "agreement"}
    keys = {key for key in curves[0] if not key.endswith(("_low", "_high"))}
    assert keys == metrics | {f"control/other/{name}" for name in metrics}


def test_keys_begin_with_what_tells_curves_apart() -> None:
    curves = _curves(decoder_lens_table(lenses=("decoder", "tuned")))
    assert curves[1]["jazz/tuned/ndcg"] == pytest.approx(0.35)
    assert curves[1]["guitar/decoder/control/other/ndcg"] == pytest.approx(0.2)
    assert all(key.split("/")[0] in ("guitar", "jazz") for key in curves[1])


def test_divergence_of_both_lenses() -> None:
    curves = _curves(tuned_lens_table())
    assert (curves[2]["decoder/kl"], curves[2]["tuned/kl_guided"]) == pytest.approx((2.0, 1.0))


def test_similarity_is_that_to_the_last_layer() -> None:
    curves = _curves(self_similarity_table())
    assert [curves[layer]["to_last/distance"] for layer in curves] == pytest.approx([3, 2, 1, 0])
    assert curves[0]["control/moved/to_last/cosine"] == pytest.approx(0.0)
    both = _curves(self_similarity_table(("guitar", "jazz")))
    assert both[0]["jazz/to_last/cka"] == pytest.approx(0.85)


def test_missing_values_are_not_logged() -> None:
    table = decoder_lens_table(("guitar",))
    table.loc[table["layer"] == "1", "agreement"] = float("nan")
    curves = _curves(table)
    assert "agreement" in curves[0] and "agreement" not in curves[1]
