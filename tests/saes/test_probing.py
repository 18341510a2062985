"""Probes against scikit-learn's own regression and AUROC."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mech_music.saes.concepts import auroc, aurocs
from mech_music.saes.probing import DENSE, SPARSE, Probing

DRAW = np.random.default_rng(0)
POSITIVE, HELD = DRAW.random(300) < 0.4, DRAW.random(200) < 0.4


def columns(positive: np.ndarray) -> np.ndarray:
    """Column 3 tells them well, 5 what is left over, 7 nothing but looks like 3; the rest is noise, 0 does not vary."""
    noise = np.random.default_rng(len(positive)).normal(size=(len(positive), 9))
    hidden = np.random.default_rng(7).normal(size=len(positive))
    noise[:, 3] = positive + 0.7 * hidden
    noise[:, 5] = 40 * (hidden + 0.3 * noise[:, 5])
    noise[:, 7] = noise[:, 3] + 0.5 * noise[:, 7]
    noise[:, 0] = 2.0
    return noise


HERE, THERE = columns(POSITIVE), columns(HELD)


def by_sklearn(chosen: list[int], penalty: float) -> float:
    mean, spread = HERE[:, chosen].mean(0), HERE[:, chosen].std(0)
    probe = LogisticRegression(C=penalty, class_weight="balanced", max_iter=5000, tol=1e-6)
    probe.fit((HERE[:, chosen] - mean) / spread, POSITIVE)
    return float(roc_auc_score(HELD, probe.decision_function((THERE[:, chosen] - mean) / spread)))


def test_columns_that_tell_what_the_others_leave_are_chosen_and_weighed() -> None:
    found = Probing(HERE, THERE).sparse(POSITIVE, HELD, (1, 2))
    assert found[1][0] == [3] and found[2][0] == [3, 5], "not 7, which tells the second most alone"
    for chosen, score in found.values():
        assert score == pytest.approx(by_sklearn(chosen, SPARSE), abs=2e-3)
    assert found[2][1] > found[1][1] + 0.05


def test_what_is_told_on_the_tested_clips_alone_is_not_found() -> None:
    there = np.random.default_rng(5).normal(size=THERE.shape)
    there[:, 4] = HELD
    assert Probing(HERE, there).sparse(POSITIVE, HELD, (1,))[1][0] == [3]


def test_a_probe_of_all_columns_and_the_difference_of_means() -> None:
    probing, varying = Probing(HERE, THERE), list(range(1, 9))
    assert probing.dense(POSITIVE, HELD) == pytest.approx(by_sklearn(varying, DENSE), abs=2e-3)
    direction = HERE[POSITIVE].mean(0) - HERE[~POSITIVE].mean(0)
    wanted = [roc_auc_score(own, x @ direction) for x, own in ((HERE, POSITIVE), (THERE, HELD))]
    assert probing.difference(POSITIVE, HELD) == pytest.approx(wanted)


def test_clips_that_failed_are_left_out_and_a_word_without_clips_is_nan() -> None:
    failed = np.concatenate([HERE, np.full((2, 9), np.nan)])
    whole = Probing(HERE, THERE).sparse(POSITIVE, HELD, (2,))
    assert Probing(failed, THERE).sparse(np.append(POSITIVE, [True, False]), HELD, (2,)) == whole
    nobody = np.zeros(300, dtype=bool)
    assert np.isnan(Probing(HERE, THERE).sparse(nobody, HELD, (1,))[1][1])
    assert np.isnan(Probing(HERE, THERE).dense(nobody, HELD))
    assert np.isnan(Probing(HERE, THERE).difference(nobody, HELD)).all()


def test_fewer_columns_than_asked_for() -> None:
    """Two columns, of which one does not vary."""
    found = Probing(HERE[:, [0, 3]], THERE[:, [0, 3]]).sparse(POSITIVE, HELD, (1, 2, 5))
    assert [chosen for chosen, _ in found.values()] == [[1], [1], [1]]


def test_many_words_are_ranked_as_one() -> None:
    words = np.stack([POSITIVE, ~POSITIVE, np.zeros(300, dtype=bool)])
    found = aurocs(HERE.round(1), words)
    for word, own in zip(words[:2], found, strict=False):
        np.testing.assert_allclose(own, [roc_auc_score(word, column) for column in HERE.round(1).T])
        np.testing.assert_array_equal(own, auroc(HERE.round(1), word))
    assert np.isnan(found[2]).all()
