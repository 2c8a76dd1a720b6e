import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from geo.errors import ConfigError
from model import calibration
from model.calibration import Calibration, fit, reliability

Array = NDArray[np.float64]
WEIGHTS = st.floats(0.05, 6)
SHIFTS = st.floats(-6, 6)
SCORES = np.linspace(0, 1, 1001)


def numbers_of(values: Array) -> Calibration:
    return Calibration(float(values[0]), float(values[1]), float(values[2]))


def drawn(numbers: Calibration, count: int, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """Raw scores, and truths as likely as the calibration says, by a formula of its own."""
    generator = np.random.default_rng(seed)
    scores = generator.uniform(0.02, 0.98, count)
    odds = scores**numbers.a / (1 - scores) ** numbers.b * math.exp(numbers.c)
    return scores, generator.random(count) < odds / (1 + odds)


def test_the_map_is_that_of_the_paper() -> None:
    scores = np.array([0.1, 0.5, 0.9])
    found = Calibration(2, 0.5, -1).apply(scores)
    np.testing.assert_allclose(found, 1 / (1 + 1 / (math.exp(-1) * scores**2 / (1 - scores) ** 0.5)), rtol=1e-12)


def test_ones_and_a_zero_change_nothing() -> None:
    np.testing.assert_allclose(Calibration(1, 1, 0).apply(SCORES), SCORES, atol=2e-6)


@given(WEIGHTS, WEIGHTS, SHIFTS)
def test_the_order_of_scores_stays(a: float, b: float, c: float) -> None:
    found = Calibration(a, b, c).apply(SCORES)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()
    assert (np.diff(found[100:-100]) > 0).all()


@given(WEIGHTS, WEIGHTS, SHIFTS)
def test_in_a_graph_it_is_the_same(a: float, b: float, c: float) -> None:
    numbers = Calibration(a, b, c)
    scores = SCORES[1:-1].astype(np.float32)
    found = keras.ops.convert_to_numpy(numbers.apply(keras.ops.convert_to_tensor(scores), keras.ops))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, numbers.apply(scores.astype(np.float64)), atol=1e-4)


@pytest.mark.parametrize("numbers", [Calibration(1, 1, 0), Calibration(3, 0.6, -1.5), Calibration(0.4, 2, 1)])
def test_the_fit_finds_what_scores_were_made_with(numbers: Calibration) -> None:
    found = fit(*drawn(numbers, 200_000, seed=4))
    np.testing.assert_allclose([found.a, found.b, found.c], [numbers.a, numbers.b, numbers.c], atol=0.15)
    np.testing.assert_allclose(found.apply(SCORES), numbers.apply(SCORES), atol=0.01)


@given(st.integers(0, 2**32 - 1))
def test_no_other_numbers_make_the_truth_likelier(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores, correct = drawn(numbers_of(generator.uniform([0.2, 0.2, -2], [3, 3, 2])), 500, seed)

    def loss(numbers: Calibration) -> float:
        chances = numbers.apply(scores)
        return float(special.xlogy(correct, chances).sum() + special.xlogy(~correct, 1 - chances).sum())

    best = fit(scores, correct)
    for step in generator.normal(0, 0.3, (20, 3)):
        other = numbers_of(np.maximum(np.array([best.a, best.b, best.c]) + step, [1e-3, 1e-3, -9]))
        assert loss(best) >= loss(other) - 0.02


def test_where_scores_say_the_contrary_the_order_still_stays() -> None:
    found = fit(np.linspace(0.1, 0.9, 100), np.arange(100) < 50)
    assert (np.diff(found.apply(SCORES[1:-1])) > 0).all()


@pytest.mark.parametrize("correct", [np.ones(5, bool), np.zeros(5, bool), np.zeros(0, bool)])
def test_right_alone_or_wrong_alone_teaches_nothing(correct: NDArray[np.bool_]) -> None:
    with pytest.raises(ConfigError, match="right and wrong"):
        fit(np.full(len(correct), 0.5), correct)


@pytest.mark.parametrize("numbers", [(-1, 1, 0), (1, -0.1, 0), (0, 0, 1), (1, 1, math.inf), (math.nan, 1, 0)])
def test_numbers_that_break_the_order_are_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration(*numbers)


def test_reliability_of_an_example_by_hand() -> None:
    scores = np.array([0.01, 0.15, 0.12, 0.55, 0.55, 0.55, 0.55, 1.0])
    correct = np.array([False, False, True, True, True, True, False, True])
    found = reliability(scores, correct, 10, 0.1)
    assert found.counts.tolist() == [0, 2, 0, 0, 0, 4, 0, 0, 0, 1]
    np.testing.assert_allclose(found.scores[[1, 5, 9]], [0.135, 0.55, 1.0])
    np.testing.assert_allclose(found.shares[[1, 5, 9]], [0.5, 0.75, 1.0])
    assert np.isnan(found.shares[[0, 2]]).all()
    assert found.error == pytest.approx(2 / 7 * 0.365 + 4 / 7 * 0.2 + 1 / 7 * 0)


def test_scores_that_are_right_have_no_error_and_wrong_ones_have() -> None:
    scores, correct = drawn(Calibration(2, 0.7, -1), 100_000, seed=2)
    before = reliability(scores, correct, 15, 0.05)
    after = reliability(fit(scores, correct).apply(scores), correct, 15, 0.05)
    assert before.error > 0.05
    assert after.error < 0.01


def test_nothing_to_compare_has_no_error() -> None:
    assert math.isnan(reliability(np.array([0.01]), np.array([False]), 10, 0.05).error)


def test_a_bin_begins_with_its_lower_edge() -> None:
    assert calibration.reliability(np.array([0.0, 0.5, 0.75]), np.ones(3, bool), 4, 0).counts.tolist() == [1, 0, 1, 1]
