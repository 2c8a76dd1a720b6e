import math

import numpy as np
import pytest
import shapely
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from model.detectors.anchor_free import assignment
from model.detectors.anchor_free.losses import DetectionLoss, detection_loss, generalized_iou
from model.detectors.anchor_free.network import decode_boxes

SIDE, STRIDE = 64, 4
ROWS = SIDE // STRIDE
TRUTH = np.array([[6.0, 10, 30, 50], [34, 8, 60, 22]])
HIDDEN = np.array([[36.0, 36, 64, 64]])
Array = NDArray[np.float64]


def target(boxes: Array = TRUTH) -> NDArray[np.float32]:
    return assignment.targets(boxes, HIDDEN, SIDE, SIDE)[None]


def random_cells(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(1, ROWS, ROWS, 5)).astype(np.float32)


def perfect_cells(logit: float = 12.0) -> NDArray[np.float32]:
    """Return cells with high scores exactly where they are positive, and exact boxes."""
    target_cells = target()
    cells = np.zeros((1, ROWS, ROWS, 5), np.float32)
    cells[..., 0] = np.where(target_cells[..., assignment.POSITIVE] > 0, logit, -logit)
    for row, col in np.argwhere(target_cells[0, ..., assignment.POSITIVE] > 0):
        x, y = STRIDE * (col + 0.5), STRIDE * (row + 0.5)
        xmin, ymin, xmax, ymax = target_cells[0, row, col, assignment.BOX]
        cells[0, row, col, 1:] = np.log(np.maximum([x - xmin, y - ymin, xmax - x, ymax - y], 1e-3) / STRIDE)
    return cells


def loss_of(target_cells: NDArray[np.float32], cells: NDArray[np.float32]) -> float:
    return float(detection_loss(ops.convert_to_tensor(target_cells), ops.convert_to_tensor(cells)))


def overlaps(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[float, float]:
    """Compute IoU and GIoU with polygons."""
    first, second = shapely.box(*a), shapely.box(*b)
    union, hull = first.union(second).area, first.union(second).envelope.area
    iou = first.intersection(second).area / union
    return iou, iou - (hull - union) / hull


def by_hand(target_cells: NDArray[np.float32], cells: NDArray[np.float32]) -> float:
    """Compute the loss cell by cell, by the docstring of `detection_loss`."""
    boxes = ops.convert_to_numpy(decode_boxes(cells))
    entropy = distance = airplanes = 0.0
    for index in np.ndindex(target_cells.shape[:3]):
        score = 1 / (1 + math.exp(-cells[index][0]))
        if weight := float(target_cells[index][assignment.POSITIVE]):
            iou, giou = overlaps(boxes[index], target_cells[index][assignment.BOX])
            quality = max(iou, 0.3)
            entropy -= weight * (quality * math.log(score) + (1 - quality) * math.log(1 - score))
            distance += weight * (1 - giou)
            airplanes += weight
        elif target_cells[index][assignment.COUNTED]:
            entropy -= 0.06 * score**2 * math.log(1 - score)
    return (entropy + 2 * distance) / max(airplanes, 1)


@given(st.integers(0, 2**32 - 1))
def test_overlaps_equal_those_of_polygons(seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(0, 100, (5, 2, 2, 2))
    boxes = np.sort(corners, axis=2).reshape(5, 2, 4)
    actual = generalized_iou(boxes[:, 0].astype(np.float32), boxes[:, 1].astype(np.float32))
    expected = np.array([overlaps(a, b) for a, b in boxes])
    np.testing.assert_allclose(np.stack([ops.convert_to_numpy(x) for x in actual], axis=1), expected, atol=2e-4)


def test_a_box_overlaps_itself_fully_and_an_empty_one_does_not_divide_by_zero() -> None:
    boxes = np.array([[1, 2, 8, 4], [5, 5, 5, 5]], np.float32)
    iou, giou = (ops.convert_to_numpy(x) for x in generalized_iou(boxes, boxes))
    assert iou.tolist() == [1, 0]
    assert giou.tolist() == [1, 0]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_loss_follows_its_docstring(seed: int) -> None:
    cells = random_cells(seed)
    assert loss_of(target(), cells) == pytest.approx(by_hand(target(), cells), rel=1e-3)


def test_perfect_cells_have_no_loss() -> None:
    assert loss_of(target(), perfect_cells()) == pytest.approx(0, abs=1e-2)
    assert loss_of(target(), perfect_cells(logit=-12.0)) > 10


def test_every_airplane_has_the_same_weight_whatever_its_size_and_number() -> None:
    small, large = np.array([[5.0, 5, 15, 15]]), np.array([[20.0, 20, 62, 62]])
    nothing_hidden = np.zeros((0, 4))
    alone, other, both = (
        assignment.targets(boxes, nothing_hidden, SIDE, SIDE)[None]
        for boxes in (small, large, np.vstack([small, large]))
    )
    assert np.count_nonzero(other[..., assignment.POSITIVE]) > np.count_nonzero(alone[..., assignment.POSITIVE])
    cells = np.full((1, ROWS, ROWS, 5), -20, np.float32)
    cells[..., 1:] = 1.0
    # Only the airplanes contribute: the loss of both is the mean of the losses of each.
    costs = [loss_of(target_cells, cells) for target_cells in (alone, other, both)]
    assert costs[2] == pytest.approx((costs[0] + costs[1]) / 2, rel=1e-4)


def test_uncounted_cells_do_not_change_the_loss() -> None:
    cells, target_cells = random_cells(3), target()
    other = cells.copy()
    hidden = target_cells[..., assignment.COUNTED] == 0
    assert hidden.any()
    other[hidden] += 5
    assert loss_of(target_cells, cells) == loss_of(target_cells, other)


def gradient_of(target_cells: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    variable = tf.Variable(cells)
    with tf.GradientTape() as tape:
        loss = detection_loss(target_cells, variable)
    return np.asarray(tape.gradient(loss, variable))


def test_objectness_has_the_gradient_of_cross_entropy_with_a_constant_target() -> None:
    target_cells, cells = target(), random_cells(4)
    weight = target_cells[..., assignment.POSITIVE]
    score = 1 / (1 + np.exp(-cells[..., 0]))
    iou, _ = generalized_iou(decode_boxes(cells), target_cells[..., assignment.BOX])
    quality = np.maximum(ops.convert_to_numpy(iou), 0.3)
    # Cross-entropy of a logit has the slope score - quality; neither the quality nor the weight has a gradient.
    negative = 0.06 * score**3 * target_cells[..., assignment.COUNTED]
    slope = np.where(weight > 0, weight * (score - quality), negative) / len(TRUTH)
    np.testing.assert_allclose(gradient_of(target_cells, cells)[..., 0], slope, rtol=1e-3, atol=1e-6)


def test_boxes_have_gradients_only_in_positive_cells_whatever_their_score() -> None:
    target_cells, cells = target(), random_cells(4)
    positive = target_cells[..., assignment.POSITIVE] > 0
    gradient = gradient_of(target_cells, cells)[..., 1:]
    assert (gradient[~positive] == 0).all()
    assert (gradient[positive] != 0).any(axis=1).all()
    higher = cells + np.array([3, 0, 0, 0, 0], np.float32)
    np.testing.assert_allclose(gradient_of(target_cells, higher)[..., 1:], gradient, rtol=1e-4, atol=1e-7)


def test_an_image_without_airplanes_has_a_finite_loss_and_gradient() -> None:
    target_cells = target(np.zeros((0, 4)))
    cells = tf.Variable(random_cells(5) * 50)
    with tf.GradientTape() as tape:
        loss = DetectionLoss()(target_cells, cells)
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, cells).numpy()).all()
