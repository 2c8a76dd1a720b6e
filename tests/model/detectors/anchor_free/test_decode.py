import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from geo.boxes import iou_matrix
from model.detectors.anchor_free import assignment, decode
from model.detectors.anchor_free.network import OUTPUT_STRIDE
from model.inference.cells import tile_detections


def encode(box: NDArray[np.floating], row: int, col: int) -> NDArray[np.float64]:
    """Encode a box as four channels of a cell, by the docstring of `anchor_free.network.build`."""
    x, y = (col + 0.5) * OUTPUT_STRIDE, (row + 0.5) * OUTPUT_STRIDE
    xmin, ymin, xmax, ymax = box
    return np.log(np.array([x - xmin, y - ymin, xmax - x, ymax - y]) / OUTPUT_STRIDE)


@given(st.integers(0, 2**32 - 1))
def test_decoding_is_the_inverse_of_encoding(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, cols = 3, 5
    cells = generator.normal(size=(2, rows, cols, 5))
    expected = np.empty((2, rows, cols, 4))
    for image, row, col in np.ndindex(2, rows, cols):
        centre = (np.array([col, row] * 2) + 0.5) * OUTPUT_STRIDE
        box = centre + generator.uniform(0.5, 200, 4) * [-1, -1, 1, 1]
        expected[image, row, col] = box
        cells[image, row, col, 1:] = encode(box, row, col)
    detections = ops.convert_to_numpy(decode.boxes(ops.convert_to_tensor(cells, "float32")))
    np.testing.assert_allclose(detections, expected, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_perfect_cells_decode_to_the_airplanes(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 50, (count, 2))
    airplanes = np.concatenate([low, low + generator.uniform(8, 60, (count, 2))], axis=1)
    target = assignment.targets(airplanes, np.zeros((0, 4)), 96, 64)
    cells = np.full((*target.shape[:2], 5), -9.0)
    positive = target[..., assignment.POSITIVE] > 0
    for row, col in np.argwhere(positive):
        cells[row, col] = [9.0, *encode(target[row, col, assignment.BOX], row, col)]
    detections = ops.convert_to_numpy(decode.boxes(ops.convert_to_tensor(cells[None], "float32")))[0]
    np.testing.assert_allclose(detections[positive], target[positive][:, assignment.BOX], atol=1e-3)
    chosen = ops.convert_to_numpy(decode.scores(cells[None]))[0] > 0.5
    np.testing.assert_array_equal(chosen, positive)


def test_scores_are_the_logistic_function_of_the_first_channel() -> None:
    cells = np.zeros((1, 1, 4, 5), np.float32)
    cells[0, 0, :, 0] = [-30, 0, np.log(3), 30]
    scores = ops.convert_to_numpy(decode.scores(cells))
    np.testing.assert_allclose(scores[0, 0], [0, 0.5, 0.75, 1], atol=1e-6)


@pytest.mark.parametrize("value", [1e3, 1e30, -1e30])
def test_extreme_cells_give_finite_boxes(value: float) -> None:
    cells = np.full((1, 2, 2, 5), value, np.float32)
    boxes = ops.convert_to_numpy(decode.boxes(cells))
    assert np.isfinite(boxes).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_an_airplane_is_detected_once_by_its_highest_scoring_cell(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (count, 2))
    boxes, scores = np.concatenate([low, low + generator.uniform(5, 40, (count, 2))], axis=1), generator.random(count)
    detections = tile_detections(boxes, scores, 0.0, 0.0)
    assert np.isnan(detections.resolution_m).all()
    kept = [int(np.flatnonzero(scores == score)[0]) for score in detections.scores]
    overlaps = iou_matrix(boxes[kept], boxes)
    assert all(overlaps[i, kept[j]] <= 0.5 for i, j in itertools.combinations(range(len(kept)), 2))
    # Every suppressed box overlaps a kept one with a higher score.
    for number, score in enumerate(scores):
        assert number in kept or (detections.scores[overlaps[:, number] > 0.5] >= score).any()


def test_the_mean_of_overlapping_boxes_is_better_than_each() -> None:
    truth = np.array([20.0, 30, 60, 55])
    cells = truth + np.random.default_rng(1).normal(0, 1.5, (12, 4))
    stray = truth + np.array([11, 0, 11, 0])  # overlaps the others too little to vote
    detections = tile_detections(np.vstack([cells, stray]), np.linspace(0.9, 0.6, 13), 0.7, 0.1)
    assert detections.scores.tolist() == [0.9]
    assert np.abs(detections.boxes[0] - truth).max() < 0.8 < np.abs(cells[0] - truth).max()
