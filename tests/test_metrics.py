"""The metrics against SciPy, scikit-learn and hand-computed values, and at the ends of probability."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax
from sklearn.metrics import ndcg_score

from mech_music.metrics import measures as metrics

N_LABELS = 527


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def before(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 3, (6, N_LABELS))


@pytest.fixture
def after(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 3, (6, N_LABELS))


def test_log_odds_of_known_probabilities() -> None:
    probs = np.array([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]])
    assert metrics.log_odds(np.log(probs), 0) == pytest.approx([0.0, np.log(4.0)])


def test_effectiveness_by_hand() -> None:
    """Original from 1/2 to 1/5 (odds 1 → 1/4), desired from 1/5 to 1/2 (odds 1/4 → 1): each part is log 4."""
    before, after = np.log([[0.5, 0.2, 0.3]]), np.log([[0.2, 0.5, 0.3]])
    result = metrics.effectiveness(before, after, original_label=0, desired_label=1)
    assert result.original == pytest.approx([np.log(4.0)])
    assert result.desired == pytest.approx([np.log(4.0)])
    assert result.total == pytest.approx([np.log(16.0)])


def test_parts_of_effectiveness_are_not_interchangeable() -> None:
    """Only the original concept falls (1/2 to 1/5): the desired part comes from a probability that stays."""
    before, after = np.log([0.5, 0.2, 0.3]), np.log([0.2, 0.2, 0.6])
    result = metrics.effectiveness(before, after, original_label=0, desired_label=1)
    assert (result.original, result.desired) == (pytest.approx(np.log(4.0)), pytest.approx(0.0, abs=1e-12))


def test_effectiveness_is_equation_1(before: np.ndarray, after: np.ndarray) -> None:
    def odds(scores: np.ndarray, label: int) -> np.ndarray:
        p = softmax(scores, axis=-1)[:, label]
        return p / (1 - p)

    expected = np.log(odds(before, 140) / odds(after, 140)) - np.log(odds(before, 153) / odds(after, 153))
    np.testing.assert_allclose(metrics.effectiveness(before, after, 140, 153).total, expected, rtol=1e-10)


def test_precision_is_minus_scipys_kl_of_after_from_before(before: np.ndarray, after: np.ndarray) -> None:
    expected = -rel_entr(softmax(after, axis=-1), softmax(before, axis=-1)).sum(axis=-1)
    np.testing.assert_allclose(metrics.precision(before, after), expected, rtol=1e-12)
    assert not np.allclose(metrics.precision(after, before), expected), "the direction must matter here"
    assert (metrics.precision(before, before) == 0).all()


def test_precision_by_hand() -> None:
    before, after = np.log([0.5, 0.5]), np.log([0.75, 0.25])
    assert metrics.precision(before, after) == pytest.approx(-(0.75 * np.log(1.5) + 0.25 * np.log(0.5)))


def test_ideal_precision_is_the_precision_of_the_swap(before: np.ndarray) -> None:
    swapped = before.copy()
    swapped[:, [140, 153]] = before[:, [153, 140]]
    expected = metrics.precision(before, swapped)
    np.testing.assert_allclose(metrics.ideal_precision(before, 140, 153), expected, rtol=1e-10)


@pytest.mark.parametrize("relevant", [[237], [140, 143, 141, 142, 139], [0, 526]])
def test_ndcg_is_scikit_learns(before: np.ndarray, relevant: list[int]) -> None:
    truth = np.zeros_like(before)
    truth[:, relevant] = 1
    expected = [ndcg_score([t], [s]) for t, s in zip(truth, before, strict=True)]
    np.testing.assert_allclose(metrics.ndcg(before, relevant), expected, rtol=1e-13)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_ndcg_shares_the_ranks_of_ties_as_scikit_learn_does(rng: np.random.Generator, levels: int) -> None:
    tied = rng.integers(0, levels, (20, 30)).astype(float)
    truth = np.zeros_like(tied)
    truth[:, [3, 7, 11]] = 1
    expected = [ndcg_score([t], [s]) for t, s in zip(truth, tied, strict=True)]
    np.testing.assert_allclose(metrics.ndcg(tied, [3, 7, 11]), expected, rtol=1e-13)


def test_ndcg_by_hand() -> None:
    """Relevant labels on ranks 1 and 3: (1 + 1/2) / (1 + 1/log2 3)."""
    assert metrics.ndcg(np.array([3.0, 2.0, 1.0, 0.0]), [0, 2]) == pytest.approx(1.5 / (1 + 1 / np.log2(3)))


def test_logits_and_log_probabilities_are_measured_alike(before: np.ndarray, after: np.ndarray) -> None:
    one, two = log_softmax(before, axis=-1), log_softmax(after, axis=-1)
    expected = metrics.effectiveness(before, after, 140, 153).total
    np.testing.assert_allclose(metrics.effectiveness(one, two, 140, 153).total, expected)
    np.testing.assert_allclose(metrics.precision(one, two), metrics.precision(before, after))


def test_certainty_in_float32_stays_finite_and_exact() -> None:
    """Float32's softmax says exactly 1 and 0 here, yet the odds are known to every digit."""
    sure = np.array([200.0, 0.0, 0.0, 0.0], dtype=np.float32)
    assert softmax(sure).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert metrics.log_odds(sure, 0) == pytest.approx(200 - np.log(3), rel=1e-14)
    assert metrics.log_odds(sure, 1) == pytest.approx(-200, rel=1e-14)


def test_logits_of_ten_thousand_stay_finite() -> None:
    before, after = np.zeros((2, 5)), np.zeros((2, 5))
    before[:, 0], before[:, 1], after[:, 0], after[:, 1] = 1e4, -1e4, -1e4, 1e4
    assert metrics.effectiveness(before, after, 0, 1).total == pytest.approx([6e4 - 2 * np.log(3)] * 2)
    assert metrics.precision(before, after) == pytest.approx([-2e4] * 2)
    assert metrics.ideal_precision(before, 0, 1) == pytest.approx([-2e4] * 2)
    assert np.isfinite(metrics.ndcg(before, [1])).all()


def test_any_leading_shape(before: np.ndarray, after: np.ndarray) -> None:
    flat = metrics.effectiveness(before, after, 1, 2).total
    shaped = metrics.effectiveness(before.reshape(2, 3, -1), after.reshape(2, 3, -1), 1, 2).total
    np.testing.assert_array_equal(shaped.ravel(), flat)
    assert metrics.precision(before[0], after[0]).shape == ()
    assert metrics.ndcg(before[0], [1]) == metrics.ndcg(before[:1], [1])


def test_flipped_and_group_argmax() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 9.0], [1.0, 3.0, 2.0, 9.0], [2.0, 2.0, 0.0, 9.0]])
    assert metrics.flipped_pair(scores, 0, 1).tolist() == [False, True, False]
    assert metrics.group_argmax(scores, [0, 1, 2]).tolist() == [0, 1, 0], "the first of equals"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.log_odds(np.zeros((2, 5)), 5), "label 5 is out of range: there are 5"),
        (lambda: metrics.log_odds(np.zeros((2, 5)), -1), "label -1 is out of range"),
        (lambda: metrics.precision(np.zeros((2, 5)), np.zeros((3, 5))), "one shape, not"),
        (lambda: metrics.precision(np.full((1, 5), np.nan), np.zeros((1, 5))), "NaN or infinity"),
        (lambda: metrics.precision(np.zeros((1, 5)), np.full((1, 5), -np.inf)), "NaN or infinity"),
        (lambda: metrics.log_odds(np.zeros((2, 1)), 0), "at least two labels"),
        (lambda: metrics.ndcg(np.zeros((2, 5)), []), "at least one relevant label"),
    ],
)
def test_wrong_input_is_named_in_one_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_metrics_need_no_torch() -> None:
    code = "import sys, mech_music.metrics.measures, mech_music.metrics.intervals; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_reliability_is_the_share_of_a_shift_that_is_not_noise() -> None:
    """Its expectation is known: with noise of the shift's own size in each of five contexts it is 1 − 1/6."""
    rng, shift = np.random.default_rng(0), np.random.default_rng(1).normal(0, 1, (40, 2, 500))
    assert metrics.reliability(np.stack([shift] * 5)) == pytest.approx(1.0)
    noisy = shift + rng.normal(0, 1, (5, 40, 2, 500))
    assert metrics.reliability(noisy) == pytest.approx(1 - 0.2 / 1.2, abs=0.01)
    assert metrics.reliability(rng.normal(0, 1, (5, 40_000))) == pytest.approx(0.0, abs=0.02)
    assert np.isnan(metrics.reliability(shift[None])) and np.isnan(metrics.reliability(np.zeros((3, 7))))
