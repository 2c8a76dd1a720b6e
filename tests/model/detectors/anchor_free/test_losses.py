import math

import numpy as np
import pytest
import shapely
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from model.detectors.anchor_free import losses
from model.detectors.anchor_free.losses import BOX, COUNTED, POSITIVE, DetectionLoss, detection_loss, generalized_iou
from model.detectors.anchor_free.network import decode_boxes

HEIGHT, WIDTH, STRIDE = 48, 64, 4
NONE = np.zeros((0, 4))
SEEDS = st.integers(0, 2**32 - 1)
Boxes = NDArray[np.float64]
SIDE, STRIDE = 64, 4
ROWS = SIDE // STRIDE
TRUTH = np.array([[6.0, 10, 30, 50], [34, 8, 60, 22]])
HIDDEN = np.array([[36.0, 36, 64, 64]])
Array = NDArray[np.float64]


def random_boxes(seed: int, count: int) -> Boxes:
    generator = np.random.default_rng(seed)
    low = generator.uniform([0, 0], [WIDTH - 6, HEIGHT - 6], (count, 2))
    high = np.minimum(low + generator.uniform(2, 70, (count, 2)), [WIDTH, HEIGHT])
    return np.concatenate([low, high], axis=1)


def owners(boxes: Boxes) -> dict[tuple[int, int], int]:
    """Return the airplane of each positive cell (row, column), cell by cell and airplane by airplane."""
    owner_by_cell = {}
    for row, col in np.ndindex(HEIGHT // STRIDE, WIDTH // STRIDE):
        x, y = STRIDE * (col + 0.5), STRIDE * (row + 0.5)
        claims = []
        for number, (xmin, ymin, xmax, ymax) in enumerate(boxes):
            away = max(abs(x - (xmin + xmax) / 2), abs(y - (ymin + ymax) / 2)) / STRIDE
            if away <= min(max(0.18 * min(xmax - xmin, ymax - ymin) / STRIDE, 0.75), 4):
                claims.append((away, number))
        if claims:
            owner_by_cell[row, col] = min(claims)[1]
    return owner_by_cell


def targets_by_hand(boxes: Boxes, ignored: Boxes) -> NDArray[np.float32]:
    """Apply the rule of `losses.targets` cell by cell."""
    target = np.zeros((HEIGHT // STRIDE, WIDTH // STRIDE, 6), np.float32)
    owner_by_cell = owners(boxes)
    for row, col in np.ndindex(target.shape[:2]):
        x, y = STRIDE * (col + 0.5), STRIDE * (row + 0.5)
        owner = owner_by_cell.get((row, col))
        if owner is not None:
            target[row, col, BOX] = boxes[owner]
            target[row, col, POSITIVE] = 1 / list(owner_by_cell.values()).count(owner)
        hidden = any(xmin < x < xmax and ymin < y < ymax for xmin, ymin, xmax, ymax in ignored)
        target[row, col, COUNTED] = owner is not None or not hidden
    return target


@settings(max_examples=60)
@given(SEEDS, st.integers(0, 6), st.integers(0, 3))
def test_targets_follow_the_rule(seed: int, count: int, hidden: int) -> None:
    boxes, ignored = random_boxes(seed, count), random_boxes(seed + 1, hidden)
    np.testing.assert_array_equal(losses.targets(boxes, ignored, HEIGHT, WIDTH), targets_by_hand(boxes, ignored))


@given(SEEDS, st.integers(0, 12))
def test_every_airplane_has_the_same_total_weight(seed: int, count: int) -> None:
    boxes = random_boxes(seed, count)
    target = losses.targets(boxes, NONE, HEIGHT, WIDTH)
    weights = np.zeros(count)
    for cell in target[target[..., POSITIVE] > 0]:
        weights[(boxes.astype(np.float32) == cell[BOX]).all(axis=1).argmax()] += cell[POSITIVE]
    # An airplane whose cells are all nearer to others has none.
    assert all(weight == 0 or abs(weight - 1) < 1e-5 for weight in weights)
    assert count == 0 or weights.any()


@given(SEEDS, st.integers(1, 6))
def test_the_cell_at_an_airplanes_centre_is_assigned_to_one_no_farther_away(seed: int, count: int) -> None:
    boxes = random_boxes(seed, count)
    target = losses.targets(boxes, NONE, HEIGHT, WIDTH)
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        col, row = np.minimum(centre // STRIDE, [WIDTH // STRIDE - 1, HEIGHT // STRIDE - 1]).astype(int)
        assert target[row, col, POSITIVE] > 0
        owner = target[row, col, BOX]
        cell = STRIDE * (np.array([col, row]) + 0.5)
        assert abs((owner[:2] + owner[2:]) / 2 - cell).max() <= abs(centre - cell).max() + 1e-4


def test_large_airplanes_get_more_cells_up_to_a_bound() -> None:
    # A centre in the middle of a cell: that cell alone at the smallest radius, 9 x 9 cells at the largest.
    sides = {3: 1, 20: 1, 23: 9, 60: 25, 89: 81, 400: 81}
    for side, cells in sides.items():
        box = np.array([[42 - side / 2, 42 - side / 2, 42 + side / 2, 42 + side / 2]])
        positive = losses.targets(box, NONE, 96, 96)[..., POSITIVE]
        assert np.count_nonzero(positive) == cells
        np.testing.assert_allclose(positive[positive > 0], 1 / cells)


def test_the_shorter_side_counts() -> None:
    # 12 pixels high: one cell, however long.
    long = np.array([[2.0, 36, 82, 48]])
    assert np.count_nonzero(losses.targets(long, NONE, 96, 96)[..., POSITIVE]) == 1


def test_of_two_airplanes_at_equal_distance_the_first_gets_the_cell() -> None:
    boxes = np.array([[14.0, 14, 54, 54], [24, 4, 44, 64]])
    target = losses.targets(boxes, NONE, HEIGHT + 32, WIDTH)
    np.testing.assert_array_equal(target[8, 8, BOX], boxes[0])


def test_every_cell_of_an_image_without_airplanes_is_counted() -> None:
    target = losses.targets(NONE, NONE, HEIGHT, WIDTH)
    assert target.shape == (HEIGHT // STRIDE, WIDTH // STRIDE, losses.CHANNELS)
    assert target.dtype == np.float32
    assert (target[..., COUNTED] == 1).all()
    assert (target[..., :COUNTED] == 0).all()


def target(boxes: Array = TRUTH) -> NDArray[np.float32]:
    return losses.targets(boxes, HIDDEN, SIDE, SIDE)[None]


def random_cells(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(1, ROWS, ROWS, 5)).astype(np.float32)


def perfect_cells(logit: float = 12.0) -> NDArray[np.float32]:
    """Return cells with high scores exactly where they are positive, and exact boxes."""
    target_cells = target()
    cells = np.zeros((1, ROWS, ROWS, 5), np.float32)
    cells[..., 0] = np.where(target_cells[..., losses.POSITIVE] > 0, logit, -logit)
    for row, col in np.argwhere(target_cells[0, ..., losses.POSITIVE] > 0):
        x, y = STRIDE * (col + 0.5), STRIDE * (row + 0.5)
        xmin, ymin, xmax, ymax = target_cells[0, row, col, losses.BOX]
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
        if weight := float(target_cells[index][losses.POSITIVE]):
            iou, giou = overlaps(boxes[index], target_cells[index][losses.BOX])
            quality = max(iou, 0.3)
            entropy -= weight * (quality * math.log(score) + (1 - quality) * math.log(1 - score))
            distance += weight * (1 - giou)
            airplanes += weight
        elif target_cells[index][losses.COUNTED]:
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
        losses.targets(boxes, nothing_hidden, SIDE, SIDE)[None] for boxes in (small, large, np.vstack([small, large]))
    )
    assert np.count_nonzero(other[..., losses.POSITIVE]) > np.count_nonzero(alone[..., losses.POSITIVE])
    cells = np.full((1, ROWS, ROWS, 5), -20, np.float32)
    cells[..., 1:] = 1.0
    # Only the airplanes contribute: the loss of both is the mean of the losses of each.
    costs = [loss_of(target_cells, cells) for target_cells in (alone, other, both)]
    assert costs[2] == pytest.approx((costs[0] + costs[1]) / 2, rel=1e-4)


def test_uncounted_cells_do_not_change_the_loss() -> None:
    cells, target_cells = random_cells(3), target()
    other = cells.copy()
    hidden = target_cells[..., losses.COUNTED] == 0
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
    weight = target_cells[..., losses.POSITIVE]
    score = 1 / (1 + np.exp(-cells[..., 0]))
    iou, _ = generalized_iou(decode_boxes(cells), target_cells[..., losses.BOX])
    quality = np.maximum(ops.convert_to_numpy(iou), 0.3)
    # Cross-entropy of a logit has the slope score - quality; neither the quality nor the weight has a gradient.
    negative = 0.06 * score**3 * target_cells[..., losses.COUNTED]
    slope = np.where(weight > 0, weight * (score - quality), negative) / len(TRUTH)
    np.testing.assert_allclose(gradient_of(target_cells, cells)[..., 0], slope, rtol=1e-3, atol=1e-6)


def test_boxes_have_gradients_only_in_positive_cells_whatever_their_score() -> None:
    target_cells, cells = target(), random_cells(4)
    positive = target_cells[..., losses.POSITIVE] > 0
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
