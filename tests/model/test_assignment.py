import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model import assignment
from model.assignment import BOX, COUNTED, POSITIVE

HEIGHT, WIDTH, STRIDE = 64, 96, 8
NONE = np.zeros((0, 4))


def drawn_boxes(seed: int, count: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    low = generator.uniform([0, 0], [WIDTH - 6, HEIGHT - 6], (count, 2))
    high = np.minimum(low + generator.uniform(2, 70, (count, 2)), [WIDTH, HEIGHT])
    return np.concatenate([low, high], axis=1)


def by_hand(boxes: NDArray[np.float64], ignored: NDArray[np.float64]) -> NDArray[np.float32]:
    """The rule of `assignment.targets`, cell by cell and airplane by airplane."""
    target = np.zeros((HEIGHT // STRIDE, WIDTH // STRIDE, 6), np.float32)
    for row, col in np.ndindex(target.shape[:2]):
        x, y = STRIDE * (col + 0.5), STRIDE * (row + 0.5)
        claims = []
        for number, (xmin, ymin, xmax, ymax) in enumerate(boxes):
            away = max(abs(x - (xmin + xmax) / 2), abs(y - (ymin + ymax) / 2)) / STRIDE
            if away <= min(max(0.18 * min(xmax - xmin, ymax - ymin) / STRIDE, 1.0), 2.5):
                claims.append((away, number))
        if claims:
            target[row, col, BOX] = boxes[min(claims)[1]]
            target[row, col, POSITIVE] = 1
        hidden = any(xmin < x < xmax and ymin < y < ymax for xmin, ymin, xmax, ymax in ignored)
        target[row, col, COUNTED] = bool(claims) or not hidden
    return target


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 3))
def test_targets_follow_the_rule(seed: int, count: int, hidden: int) -> None:
    boxes, ignored = drawn_boxes(seed, count), drawn_boxes(seed + 1, hidden)
    np.testing.assert_array_equal(assignment.targets(boxes, ignored, HEIGHT, WIDTH), by_hand(boxes, ignored))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_cell_at_an_airplanes_centre_answers_for_an_airplane_no_farther_away(seed: int, count: int) -> None:
    boxes = drawn_boxes(seed, count)
    target = assignment.targets(boxes, NONE, HEIGHT, WIDTH)
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        col, row = np.minimum(centre // STRIDE, [WIDTH // STRIDE - 1, HEIGHT // STRIDE - 1]).astype(int)
        assert target[row, col, POSITIVE] == 1
        owner = target[row, col, BOX]
        cell = STRIDE * (np.array([col, row]) + 0.5)
        assert abs((owner[:2] + owner[2:]) / 2 - cell).max() <= abs(centre - cell).max() + 1e-4


def test_large_airplanes_get_more_cells_up_to_a_bound() -> None:
    # A centre in the middle of a cell: 3 x 3 cells at the least reach, 5 x 5 at the greatest.
    sides = {8: 9, 40: 9, 90: 25, 400: 25}
    for side, cells in sides.items():
        box = np.array([[44 - side / 2, 44 - side / 2, 44 + side / 2, 44 + side / 2]])
        assert assignment.targets(box, NONE, 96, 96)[..., POSITIVE].sum() == cells


def test_of_two_airplanes_as_near_the_first_gets_the_cell() -> None:
    boxes = np.array([[20.0, 20, 60, 60], [30, 10, 50, 70]])
    target = assignment.targets(boxes, NONE, HEIGHT, WIDTH)
    np.testing.assert_array_equal(target[4, 4, BOX], boxes[0])


def test_a_picture_without_airplanes_counts_everywhere() -> None:
    target = assignment.targets(NONE, NONE, HEIGHT, WIDTH)
    assert target.shape == (HEIGHT // STRIDE, WIDTH // STRIDE, assignment.CHANNELS)
    assert target.dtype == np.float32
    assert (target[..., COUNTED] == 1).all()
    assert (target[..., :COUNTED] == 0).all()
