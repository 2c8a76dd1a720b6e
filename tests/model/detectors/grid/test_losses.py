import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from model.detectors.config import GridConfig
from model.detectors.grid import losses
from model.detectors.grid.losses import COUNTED, PLANE, POSITION, SIZE, GridLoss, grid_loss, parts
from tests.model.detectors.grid.cells import perfect_cells

NONE = np.zeros((0, 4))
Boxes = NDArray[np.float64]
Rule = Literal["swarm", "plain"]
SEEDS = st.integers(0, 2**32 - 1)
HEIGHT, WIDTH = 64, 80  # 4 x 5 cells of 16 px
CONFIG = GridConfig()
PLAIN = GridConfig(assignment="plain")
TRUTH = np.array([[6.0, 10, 30, 50], [34, 8, 60, 22]])
HIDDEN = np.array([[36.0, 36, 64, 64]])
Cells = NDArray[np.float32]


def at(*centres: tuple[float, float], side: float = 10.0) -> Boxes:
    """Boxes of these centres; each a little smaller than the one before, which tells them apart."""
    sides = side - np.arange(len(centres))[:, None]
    return np.concatenate([np.array(centres) - sides / 2, np.array(centres) + sides / 2], axis=1)


def assigned(
    boxes: Boxes, rule: Rule = "swarm", slots: Literal[1, 2, 4] = 2
) -> dict[tuple[int, int], list[int | None]]:
    """Return the airplane in each slot of the cells that have any, by row and column; recognised by its size."""
    target = losses.targets(boxes, NONE, HEIGHT, WIDTH, GridConfig(boxes=slots, assignment=rule))
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
    squares = losses.squares(boxes)
    np.testing.assert_array_equal(squares, [[10, 10, 40, 40], [1, 4, 7, 10]])
    for rule in ("swarm", "plain"):
        config = GridConfig(assignment=rule)
        of_boxes, of_squares = (losses.targets(detected, NONE, 64, 64, config) for detected in (boxes, squares))
        np.testing.assert_array_equal(of_boxes, of_squares)
    assert of_boxes[1, 1, 0, SIZE] == np.float32(30 / 256)
    np.testing.assert_allclose(of_boxes[1, 1, 0, POSITION], [1 / 8, 1 / 8])


def test_target_sides_are_clipped_to_what_a_cell_can_predict() -> None:
    target = losses.targets(np.array([[10.0, 10, 400, 300]]), NONE, 512, 512, GridConfig())
    assert target[..., SIZE].max() == 1


def test_ignored_boxes_leave_cells_uncounted() -> None:
    # Small, beside a border: the two cells that could be assigned it. Large: each cell whose centre lies in it as well.
    hidden = np.array([[30.0, 20, 33, 23], [33, 33, 80, 64]])
    target = losses.targets(at((24, 24)), hidden, HEIGHT, WIDTH, GridConfig(assignment="plain"))
    uncounted = {tuple(index) for index in np.argwhere(target[..., COUNTED] == 0).tolist()}
    large = {(row, col, slot) for row in (2, 3) for col in (2, 3, 4) for slot in (0, 1)}
    # The slot that has an airplane counts, the one beside it does not.
    assert uncounted == {(1, 1, 1), (1, 2, 0), (1, 2, 1)} | large
    assert (target[target[..., PLANE] > 0][:, COUNTED] == 1).all()


@pytest.mark.parametrize("boxes", [1, 4])
def test_every_cell_of_an_image_without_airplanes_is_counted(boxes: Literal[1, 4]) -> None:
    target = losses.targets(NONE, NONE, 100, 256, GridConfig(grid=8, boxes=boxes))
    assert target.shape == (4, 8, boxes, losses.CHANNELS)
    assert target.dtype == np.float32
    assert (target[..., COUNTED] == 1).all()
    assert (target[..., :COUNTED] == 0).all()


def random_boxes(seed: int, count: int) -> Boxes:
    generator = np.random.default_rng(seed)
    # Crowded; whole pixels make ties, and centres on borders.
    low = generator.integers([0, 0], [WIDTH - 6, HEIGHT - 6], (count, 2)).astype(float)
    return np.concatenate([low, low + generator.integers(2, 40, (count, 2))], axis=1)


def slots_targets_by_hand(centres: list[tuple[float, float]], x: float, y: float, config: GridConfig) -> list[int]:
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


def targets_by_hand(boxes: Boxes, ignored: Boxes, config: GridConfig) -> NDArray[np.float32]:
    """Apply the rule of `losses.targets` cell by cell and box by box."""
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
        for slot, number in enumerate(slots_targets_by_hand(centres, x, y, config)):
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
    target = losses.targets(airplanes, ignored, HEIGHT, WIDTH, config)
    np.testing.assert_array_equal(target, targets_by_hand(airplanes, ignored, config))


@given(SEEDS, st.integers(0, 14))
def test_swarm_assigns_what_plain_assigns_and_more(seed: int, count: int) -> None:
    airplanes = random_boxes(seed, count)
    plain, swarm = (
        losses.targets(airplanes, NONE, HEIGHT, WIDTH, GridConfig(assignment=rule)) for rule in ("plain", "swarm")
    )
    planes = plain[..., PLANE] > 0
    np.testing.assert_array_equal(swarm[planes], plain[planes])
    # No slot stays free beside one that is not.
    assert (swarm[..., 0, PLANE] == swarm[..., 1, PLANE]).all()


def target(config: GridConfig = CONFIG, boxes: NDArray[np.float64] = TRUTH) -> Cells:
    return losses.targets(boxes, HIDDEN, 64, 64, config)[None]


def random_cells(seed: int) -> Cells:
    return np.random.default_rng(seed).normal(size=(1, 4, 4, 2, 5)).astype(np.float32)


def loss_of(target_cells: Cells, cells: Cells, config: GridConfig = CONFIG) -> float:
    return float(grid_loss(ops.convert_to_tensor(target_cells), ops.convert_to_tensor(cells), config))


def by_hand(target_cells: Cells, cells: Cells, config: GridConfig) -> float:
    """Compute the loss slot by slot, by the docstring of `grid_loss`."""
    entropy = position = size = counted = 0.0
    for index in np.ndindex(target_cells.shape[:-1]):
        raw, truth = cells[index], target_cells[index]
        if not truth[COUNTED]:
            continue
        counted += 1
        plane = 1 / (1 + math.exp(raw[3] - raw[4]))
        entropy -= math.log(plane if truth[PLANE] else 1 - plane)
        if truth[PLANE]:
            position += sum((config.cell_grow * math.tanh(raw[i]) - truth[POSITION][i]) ** 2 for i in range(2))
            size += (1 / (1 + math.exp(-raw[2])) - truth[SIZE]) ** 2
    weights = config.loss_weights
    return sum(w * part for w, part in zip(weights, (entropy, position, size), strict=True)) / sum(weights) / counted


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([CONFIG, PLAIN, replace(PLAIN, cell_grow=1.8, loss_weights=(2, 1, 5))])
)
def test_the_loss_follows_its_docstring(seed: int, config: GridConfig) -> None:
    target_cells, cells = target(config), random_cells(seed)
    assert (target_cells[..., COUNTED] == 0).any()
    assert loss_of(target_cells, cells, config) == pytest.approx(by_hand(target_cells, cells, config), rel=1e-4)


@pytest.mark.parametrize("config", [CONFIG, PLAIN])
def test_perfect_cells_have_no_loss(config: GridConfig) -> None:
    target_cells = target(config)
    assert loss_of(target_cells, perfect_cells(target_cells, config), config) == pytest.approx(0, abs=1e-6)
    assert loss_of(target_cells, perfect_cells(target_cells, config, logit=-20.0), config) > 0.5


def test_only_the_ratio_of_weights_matters() -> None:
    target_cells, cells = target(), random_cells(1)
    other = replace(CONFIG, loss_weights=(10.0, 30.0, 300.0))
    assert loss_of(target_cells, cells) == pytest.approx(loss_of(target_cells, cells, other), rel=1e-6)


@pytest.mark.parametrize(("weights", "name"), [((1, 0, 0), "plane"), ((0, 2, 0), "position"), ((0, 0, 3), "size")])
def test_each_weight_is_that_of_its_part(weights: tuple[float, float, float], name: str) -> None:
    target_cells, cells = target(), random_cells(1)
    alone = float(parts(CONFIG)[name](target_cells, ops.convert_to_tensor(cells)))
    assert loss_of(target_cells, cells, replace(CONFIG, loss_weights=weights)) == pytest.approx(alone, rel=1e-6)
    assert alone > 0


def test_uncounted_slots_do_not_change_the_loss() -> None:
    target_cells, cells = target(), random_cells(3)
    other = cells.copy()
    hidden = target_cells[..., COUNTED] == 0
    assert hidden.any()
    other[hidden] += 5
    assert loss_of(target_cells, cells) == loss_of(target_cells, other)


def gradient_of(target_cells: Cells, cells: Cells) -> Cells:
    variable = tf.Variable(cells)
    with tf.GradientTape() as tape:
        loss = GridLoss(PLAIN)(target_cells, variable)
    assert np.isfinite(float(loss))
    return np.asarray(tape.gradient(loss, variable))


def test_position_and_size_have_gradients_only_where_there_is_a_plane() -> None:
    target_cells = target(PLAIN)
    gradient = gradient_of(target_cells, random_cells(4))
    plane = target_cells[..., PLANE] > 0
    assert (gradient[~plane][:, :3] == 0).all()
    assert (gradient[plane] != 0).all()


@pytest.mark.parametrize("boxes", [TRUTH, np.zeros((0, 4))], ids=["airplanes", "none"])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_gradients_are_finite(boxes: NDArray[np.float64], scale: float) -> None:
    gradient = gradient_of(target(PLAIN, boxes), random_cells(5) * scale)
    assert np.isfinite(gradient).all()
    assert np.isfinite(gradient_of(target(PLAIN, boxes), perfect_cells(target(PLAIN, boxes), PLAIN, logit=1e3))).all()


def test_an_image_without_counted_slots_has_no_loss() -> None:
    target_cells = target(PLAIN, np.zeros((0, 4)))
    target_cells[..., COUNTED] = 0
    assert loss_of(target_cells, random_cells(6)) == 0


def test_the_keras_loss_is_the_same() -> None:
    target_cells, cells = target(), random_cells(7)
    assert float(GridLoss(CONFIG)(target_cells, cells)) == pytest.approx(loss_of(target_cells, cells))
    assert tuple(GridLoss(CONFIG).call(target_cells, cells).shape) == (1,)
