import math
from dataclasses import astuple

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from geo.errors import ConfigError
from model.inference import calibration
from model.inference.calibration import Calibration, fit, reliability

Array = NDArray[np.float64]
WEIGHTS = st.floats(0.05, 6)
SHIFTS = st.floats(-6, 6)
SCORES = np.linspace(0, 1, 1001)


def calibration_of(values: Array) -> Calibration:
    return Calibration(*(float(value) for value in values))


def squares(sides: Array | float, count: int = len(SCORES)) -> Array:
    sides = np.broadcast_to(sides, count)
    return np.stack([np.full(count, 7.0), np.full(count, 3.0), 7 + sides, 3 + sides], axis=1)


def random_detections(numbers: Calibration, count: int, seed: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return raw scores, boxes, and truths with the probability of the calibration, computed independently."""
    generator = np.random.default_rng(seed)
    scores, sides = generator.uniform(0.02, 0.98, count), np.exp2(generator.uniform(3, 7, count))
    odds = scores**numbers.a / (1 - scores) ** numbers.b * math.exp(numbers.c) * (sides / 32) ** numbers.d
    return scores, squares(sides, count), generator.random(count) < odds / (1 + odds)


def test_the_map_is_that_of_the_paper_with_a_term_for_the_side() -> None:
    scores, boxes = np.array([0.1, 0.5, 0.9]), np.array([[0.0, 0, 16, 16], [3, 4, 67, 20], [5, 5, 69, 69]])
    odds = math.exp(-1) * scores**2 / (1 - scores) ** 0.5 * np.array([0.5, 1, 2]) ** 0.7
    np.testing.assert_allclose(Calibration(2, 0.5, -1, 0.7).apply(scores, boxes), odds / (1 + odds), rtol=1e-12)


def test_box_sizes_are_clipped() -> None:
    calibration_, half = Calibration(1, 1, 0, 2), np.full(2, 0.5)
    for inside, outside in ((8, [0.0, 7.9]), (128, [128.1, 1e6])):
        expected = calibration_.apply(np.array([0.5]), squares(inside, 1))
        np.testing.assert_array_equal(
            calibration_.apply(half, squares(np.array(outside), 2)), np.broadcast_to(expected, 2)
        )


def test_ones_and_zeros_are_the_identity() -> None:
    np.testing.assert_allclose(Calibration(1, 1, 0).apply(SCORES, squares(20)), SCORES, atol=2e-6)


@given(WEIGHTS, WEIGHTS, SHIFTS, st.floats(-3, 3))
def test_the_order_of_scores_of_one_size_stays(a: float, b: float, c: float, d: float) -> None:
    calibrated = Calibration(a, b, c, d).apply(SCORES, squares(20))
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert (np.diff(calibrated) >= 0).all()
    assert (np.diff(calibrated[100:-100]) > 0).all()


@given(WEIGHTS, WEIGHTS, SHIFTS, st.floats(-3, 3))
def test_keras_ops_give_the_same(a: float, b: float, c: float, d: float) -> None:
    numbers = Calibration(a, b, c, d)
    scores = SCORES[1:-1].astype(np.float32)
    boxes = squares(np.linspace(0, 150, len(scores)), len(scores)).astype(np.float32)
    calibrated = numbers.apply(keras.ops.convert_to_tensor(scores), keras.ops.convert_to_tensor(boxes), keras.ops)
    assert keras.ops.convert_to_numpy(calibrated).dtype == np.float32
    expected = numbers.apply(scores.astype(np.float64), boxes.astype(np.float64))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(calibrated), expected, atol=1e-4)


@pytest.mark.parametrize("numbers", [Calibration(1, 1, 0), Calibration(3, 0.6, -1.5, 2), Calibration(0.4, 2, 1, -0.5)])
def test_the_fit_recovers_the_parameters(numbers: Calibration) -> None:
    calibrated = fit(*random_detections(numbers, 200_000, seed=4))
    np.testing.assert_allclose(astuple(calibrated), astuple(numbers), atol=0.15)
    for side in (10, 100):
        boxes = squares(side)
        np.testing.assert_allclose(calibrated.apply(SCORES, boxes), numbers.apply(SCORES, boxes), atol=0.015)


@given(st.integers(0, 2**32 - 1))
def test_no_other_parameters_are_likelier(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores, boxes, correct = random_detections(
        calibration_of(generator.uniform([0.2, 0.2, -2, -2], [3, 3, 2, 2])), 500, seed
    )

    def loss(numbers: Calibration) -> float:
        chances = numbers.apply(scores, boxes)
        return float(special.xlogy(correct, chances).sum() + special.xlogy(~correct, 1 - chances).sum())

    best = fit(scores, boxes, correct)
    for step in generator.normal(0, 0.3, (20, 4)):
        other = calibration_of(np.maximum(np.array(astuple(best)) + step, [1e-3, 1e-3, -9, -9]))
        assert loss(best) >= loss(other) - 0.02


def test_the_order_stays_even_where_higher_scores_are_wrong() -> None:
    calibrated = fit(np.linspace(0.1, 0.9, 100), squares(30, 100), np.arange(100) < 50)
    assert (np.diff(calibrated.apply(SCORES, squares(30))[1:-1]) > 0).all()


def test_the_weight_of_the_size_is_bounded() -> None:
    sides = np.linspace(10, 100, 100)
    calibrated = fit(np.full(100, 0.5), squares(sides, 100), sides > 50)
    assert calibrated.d <= 4


@pytest.mark.parametrize("correct", [np.ones(5, bool), np.zeros(5, bool), np.zeros(0, bool)])
def test_all_correct_or_all_wrong_detections_are_rejected(correct: NDArray[np.bool_]) -> None:
    with pytest.raises(ConfigError, match="right and wrong"):
        fit(np.full(len(correct), 0.5), squares(30, len(correct)), correct)


@pytest.mark.parametrize(
    "numbers", [(-1, 1, 0), (1, -0.1, 0), (0, 0, 1), (1, 1, math.inf), (math.nan, 1, 0), (1, 1, 0, math.nan)]
)
def test_parameters_that_break_the_order_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration(*numbers)


def test_reliability_of_an_example_by_hand() -> None:
    scores = np.array([0.01, 0.15, 0.12, 0.55, 0.55, 0.55, 0.55, 1.0])
    correct = np.array([False, False, True, True, True, True, False, True])
    calibrated = reliability(scores, correct, 10, 0.1)
    assert calibrated.counts.tolist() == [0, 2, 0, 0, 0, 4, 0, 0, 0, 1]
    np.testing.assert_allclose(calibrated.scores[[1, 5, 9]], [0.135, 0.55, 1.0])
    np.testing.assert_allclose(calibrated.shares[[1, 5, 9]], [0.5, 0.75, 1.0])
    assert np.isnan(calibrated.shares[[0, 2]]).all()
    assert calibrated.error == pytest.approx(2 / 7 * 0.365 + 4 / 7 * 0.2 + 1 / 7 * 0)


def test_calibrated_scores_have_no_calibration_error() -> None:
    scores, boxes, correct = random_detections(Calibration(2, 0.7, -1, 1), 100_000, seed=2)
    before = reliability(scores, correct, 15, 0.05)
    after = reliability(fit(scores, boxes, correct).apply(scores, boxes), correct, 15, 0.05)
    assert before.error > 0.05
    assert after.error < 0.01


def test_the_error_is_nan_without_detections() -> None:
    assert math.isnan(reliability(np.array([0.01]), np.array([False]), 10, 0.05).error)


def test_a_bin_includes_its_lower_edge() -> None:
    assert calibration.reliability(np.array([0.0, 0.5, 0.75]), np.ones(3, bool), 4, 0).counts.tolist() == [1, 0, 1, 1]
