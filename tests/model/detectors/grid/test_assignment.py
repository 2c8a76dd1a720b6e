import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.detectors.config import GridConfig
from model.detectors.grid import assignment
from model.detectors.grid.assignment import COUNTED, PLANE, POSITION, SIZE

NONE = np.zeros((0, 4))
Boxes = NDArray[np.float64]
Rule = Literal["swarm", "plain"]
SEEDS = st.integers(0, 2**32 - 1)
HEIGHT, WIDTH = 64, 80  # 4 x 5 cells of 16 px


def at(*centres: tuple[float, float], side: float = 10.0) -> Boxes:
    """Boxes of these centres; each a little smaller than the one before, which tells them apart."""
    sides = side - np.arange(len(centres))[:, None]
    return np.concatenate([np.array(centres) - sides / 2, np.array(centres) + sides / 2], axis=1)


def assigned(
    boxes: Boxes, rule: Rule = "swarm", slots: Literal[1, 2, 4] = 2
) -> dict[tuple[int, int], list[int | None]]:
    """Return the airplane in each slot of the cells that have any, by row and column; recognised by its size."""
    target = assignment.targets(boxes, NONE, HEIGHT, WIDTH, GridConfig(boxes=slots, assignment=rule))
    sizes = ((boxes[:, 2] - boxes[:, 0]) / 256).astype(np.float32).tolist()
    return {
        (row, col): [sizes.index(slot[SIZE]) if slot[PLANE] else None for slot in target[row, col]]
        for row, col in np.ndindex(target.shape[:2])
        if target[row, col, :, PLANE].any()
    }


def test_a_lone_airplane_fills_both_slots_of_its_cell() -> None:
    assert assigned(at((25, 22))) == {(1, 1): [0, 0]}
    assert assigned(at((25, 22)), "plain") == {(1, 1): [0, None]}


def test_the_closest_airplanes_of_a_cell_come_first_and_the_rest_are_left_out() -> None:
    boxes = at((29, 24), (24, 25), (26, 22))
    assert assigned(boxes) == assigned(boxes, "plain") == {(1, 1): [1, 2]}
    assert assigned(boxes, slots=1) == assigned(boxes, "plain", slots=1) == {(1, 1): [1]}


def test_an_empty_cell_takes_an_airplane_from_its_periphery() -> None:
    # 7 px right of the centre of its cell, 9 px left of that of the next: within 1.3 half cells (10.4 px) of both.
    assert assigned(at((31, 24))) == {(1, 1): [0, 0], (1, 2): [0, 0]}
    assert assigned(at((31, 24)), "plain") == {(1, 1): [0, None]}
    # In a corner, four cells.
    assert assigned(at((31, 31))) == {(1, 1): [0, 0], (1, 2): [0, 0], (2, 1): [0, 0], (2, 2): [0, 0]}
    # 10.5 px are too far.
    assert assigned(at((29.5, 24))) == {(1, 1): [0, 0]}


def test_a_free_slot_takes_the_closest_of_the_periphery_after_the_cells_own() -> None:
    # The second cell has an airplane of its own, at its far side: that comes first all the same.
    boxes = at((30, 24), (47, 24), (31, 24))
    assert assigned(boxes)[1, 2] == [1, 2]
    assert assigned(boxes)[1, 1] == [0, 2]
    assert assigned(boxes, "plain") == {(1, 1): [0, 2], (1, 2): [1, None]}


def test_a_full_cell_takes_none_from_its_periphery() -> None:
    assert assigned(at((47, 24), (34, 24), (31, 24)))[1, 2] == [1, 0]


def test_free_slots_of_four_repeat_the_others() -> None:
    assert assigned(at((24, 24), (26, 24)), slots=4) == {(1, 1): [0, 1, 0, 1]}
    assert assigned(at((24, 24), (26, 24)), "plain", slots=4) == {(1, 1): [0, 1, None, None]}
    assert assigned(at((24, 24), (26, 24), (20, 20)), slots=4) == {(1, 1): [0, 1, 2, 0]}


def test_of_two_at_equal_distance_the_first_comes_first() -> None:
    assert assigned(at((26, 24), (22, 24)), "plain", slots=1) == {(1, 1): [0]}


def test_a_centre_on_the_border_is_in_the_cell_after_it() -> None:
    assert assigned(at((32, 24)), "plain") == {(1, 2): [0, None]}


def test_targets_are_squares_of_the_longer_side() -> None:
    boxes = np.array([[10.0, 20, 40, 30], [3, 4, 5, 10]])
    squares = assignment.squares(boxes)
    np.testing.assert_array_equal(squares, [[10, 10, 40, 40], [1, 4, 7, 10]])
    for rule in ("swarm", "plain"):
        config = GridConfig(assignment=rule)
        of_boxes, of_squares = (assignment.targets(detected, NONE, 64, 64, config) for detected in (boxes, squares))
        np.testing.assert_array_equal(of_boxes, of_squares)
    assert of_boxes[1, 1, 0, SIZE] == np.float32(30 / 256)
    np.testing.assert_allclose(of_boxes[1, 1, 0, POSITION], [1 / 8, 1 / 8])


def test_target_sides_are_clipped_to_what_a_cell_can_predict() -> None:
    target = assignment.targets(np.array([[10.0, 10, 400, 300]]), NONE, 512, 512, GridConfig())
    assert target[..., SIZE].max() == 1


def test_ignored_boxes_leave_cells_uncounted() -> None:
    # Small, beside a border: the two cells that could be assigned it. Large: each cell whose centre lies in it as well.
    hidden = np.array([[30.0, 20, 33, 23], [33, 33, 80, 64]])
    target = assignment.targets(at((24, 24)), hidden, HEIGHT, WIDTH, GridConfig(assignment="plain"))
    uncounted = {tuple(index) for index in np.argwhere(target[..., COUNTED] == 0).tolist()}
    large = {(row, col, slot) for row in (2, 3) for col in (2, 3, 4) for slot in (0, 1)}
    # The slot that has an airplane counts, the one beside it does not.
    assert uncounted == {(1, 1, 1), (1, 2, 0), (1, 2, 1)} | large
    assert (target[target[..., PLANE] > 0][:, COUNTED] == 1).all()


@pytest.mark.parametrize("boxes", [1, 4])
def test_every_cell_of_an_image_without_airplanes_is_counted(boxes: Literal[1, 4]) -> None:
    target = assignment.targets(NONE, NONE, 100, 256, GridConfig(grid=8, boxes=boxes))
    assert target.shape == (4, 8, boxes, assignment.CHANNELS)
    assert target.dtype == np.float32
    assert (target[..., COUNTED] == 1).all()
    assert (target[..., :COUNTED] == 0).all()


def random_boxes(seed: int, count: int) -> Boxes:
    generator = np.random.default_rng(seed)
    # Crowded; whole pixels make ties, and centres on borders.
    low = generator.integers([0, 0], [WIDTH - 6, HEIGHT - 6], (count, 2)).astype(float)
    return np.concatenate([low, low + generator.integers(2, 40, (count, 2))], axis=1)


def slots_by_hand(centres: list[tuple[float, float]], x: float, y: float, config: GridConfig) -> list[int]:
    """Return the airplanes in the filled slots of the cell with this centre, by the docstring of the rule."""
    half = config.cell_px / 2
    own, periphery = [], []
    for number, (a, b) in enumerate(centres):
        distance = math.sqrt((a - x) ** 2 + (b - y) ** 2)
        if x - half <= a < x + half and y - half <= b < y + half:
            own.append((distance, number))
        elif max(abs(a - x), abs(b - y)) <= config.cell_grow * half:
            periphery.append((distance, number))
    slots = [number for _, number in sorted(own)][: config.boxes]
    if config.assignment == "plain":
        return slots
    slots += [number for _, number in sorted(periphery)][: config.boxes - len(slots)]
    return [slots[slot % len(slots)] for slot in range(config.boxes)] if slots else []


def by_hand(boxes: Boxes, ignored: Boxes, config: GridConfig) -> NDArray[np.float32]:
    """Apply the rule of `assignment.targets` cell by cell and box by box."""
    cell = config.cell_px
    target = np.zeros((math.ceil(HEIGHT / cell), math.ceil(WIDTH / cell), config.boxes, 5), np.float32)
    centres = [((xmin + xmax) / 2, (ymin + ymax) / 2) for xmin, ymin, xmax, ymax in boxes]
    for row, col in np.ndindex(target.shape[:2]):
        x, y = cell * (col + 0.5), cell * (row + 0.5)
        hidden = False
        for xmin, ymin, xmax, ymax in ignored:
            away = max(abs((xmin + xmax) / 2 - x), abs((ymin + ymax) / 2 - y))
            hidden |= away <= config.cell_grow * cell / 2 or (xmin < x < xmax and ymin < y < ymax)
        target[row, col, :, COUNTED] = not hidden
        for slot, number in enumerate(slots_by_hand(centres, x, y, config)):
            xmin, ymin, xmax, ymax = boxes[number]
            position = [(centres[number][0] - x) / (cell / 2), (centres[number][1] - y) / (cell / 2)]
            target[row, col, slot] = [*position, max(xmax - xmin, ymax - ymin) / 256, 1, 1]
    return target


@settings(max_examples=80)
@given(
    SEEDS,
    st.integers(0, 14),
    st.integers(0, 3),
    st.sampled_from([8, 16]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["swarm", "plain"]),
    st.sampled_from([1.0, 1.3, 1.8]),
)
def test_targets_follow_the_rule(
    seed: int, count: int, hidden: int, grid: Literal[8, 16], boxes: Literal[1, 2, 4], rule: Rule, grow: float
) -> None:
    config = GridConfig(grid=grid, boxes=boxes, assignment=rule, cell_grow=grow)
    airplanes, ignored = random_boxes(seed, count), random_boxes(seed + 1, hidden)
    target = assignment.targets(airplanes, ignored, HEIGHT, WIDTH, config)
    np.testing.assert_array_equal(target, by_hand(airplanes, ignored, config))


@given(SEEDS, st.integers(0, 14))
def test_swarm_assigns_what_plain_assigns_and_more(seed: int, count: int) -> None:
    airplanes = random_boxes(seed, count)
    plain, swarm = (
        assignment.targets(airplanes, NONE, HEIGHT, WIDTH, GridConfig(assignment=rule)) for rule in ("plain", "swarm")
    )
    planes = plain[..., PLANE] > 0
    np.testing.assert_array_equal(swarm[planes], plain[planes])
    # No slot stays free beside one that is not.
    assert (swarm[..., 0, PLANE] == swarm[..., 1, PLANE]).all()
