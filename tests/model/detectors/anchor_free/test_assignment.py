import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.detectors.anchor_free import assignment
from model.detectors.anchor_free.assignment import BOX, COUNTED, POSITIVE

HEIGHT, WIDTH, STRIDE = 48, 64, 4
NONE = np.zeros((0, 4))
SEEDS = st.integers(0, 2**32 - 1)
Boxes = NDArray[np.float64]


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


def by_hand(boxes: Boxes, ignored: Boxes) -> NDArray[np.float32]:
    """Apply the rule of `assignment.targets` cell by cell."""
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
    np.testing.assert_array_equal(assignment.targets(boxes, ignored, HEIGHT, WIDTH), by_hand(boxes, ignored))


@given(SEEDS, st.integers(0, 12))
def test_every_airplane_has_the_same_total_weight(seed: int, count: int) -> None:
    boxes = random_boxes(seed, count)
    target = assignment.targets(boxes, NONE, HEIGHT, WIDTH)
    weights = np.zeros(count)
    for cell in target[target[..., POSITIVE] > 0]:
        weights[(boxes.astype(np.float32) == cell[BOX]).all(axis=1).argmax()] += cell[POSITIVE]
    # An airplane whose cells are all nearer to others has none.
    assert all(weight == 0 or abs(weight - 1) < 1e-5 for weight in weights)
    assert count == 0 or weights.any()


@given(SEEDS, st.integers(1, 6))
def test_the_cell_at_an_airplanes_centre_is_assigned_to_one_no_farther_away(seed: int, count: int) -> None:
    boxes = random_boxes(seed, count)
    target = assignment.targets(boxes, NONE, HEIGHT, WIDTH)
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
        positive = assignment.targets(box, NONE, 96, 96)[..., POSITIVE]
        assert np.count_nonzero(positive) == cells
        np.testing.assert_allclose(positive[positive > 0], 1 / cells)


def test_the_shorter_side_counts() -> None:
    # 12 pixels high: one cell, however long.
    long = np.array([[2.0, 36, 82, 48]])
    assert np.count_nonzero(assignment.targets(long, NONE, 96, 96)[..., POSITIVE]) == 1


def test_of_two_airplanes_at_equal_distance_the_first_gets_the_cell() -> None:
    boxes = np.array([[14.0, 14, 54, 54], [24, 4, 44, 64]])
    target = assignment.targets(boxes, NONE, HEIGHT + 32, WIDTH)
    np.testing.assert_array_equal(target[8, 8, BOX], boxes[0])


def test_every_cell_of_an_image_without_airplanes_is_counted() -> None:
    target = assignment.targets(NONE, NONE, HEIGHT, WIDTH)
    assert target.shape == (HEIGHT // STRIDE, WIDTH // STRIDE, assignment.CHANNELS)
    assert target.dtype == np.float32
    assert (target[..., COUNTED] == 1).all()
    assert (target[..., :COUNTED] == 0).all()
