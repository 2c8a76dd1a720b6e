from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from model.detectors.config import GridConfig
from model.detectors.grid import assignment, decode
from model.detectors.grid.assignment import PLANE
from tests.model.detectors.grid.cells import perfect_cells

NONE = np.zeros((0, 4))
Rule = Literal["swarm", "plain"]


def decoded(cells: NDArray[np.floating], config: GridConfig) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(decode.boxes(ops.convert_to_tensor(cells, "float32"), config)))


def random_boxes(seed: int, count: int, height: int, width: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    low = generator.uniform([0, 0], [width - 6, height - 6], (count, 2))
    high = np.minimum(low + generator.uniform(2, 90, (count, 2)), [width, height])
    return np.concatenate([low, high], axis=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8, 16]))
def test_boxes_follow_the_docstring(seed: int, grid: Literal[4, 8, 16]) -> None:
    config = GridConfig(grid=grid, boxes=4, cell_grow=1.5)
    cells = np.random.default_rng(seed).normal(size=(2, 3, 5, 4, 5))
    expected = np.empty((2, 3, 5, 4, 4))
    for image, row, col, slot in np.ndindex(2, 3, 5, 4):
        raw = cells[image, row, col, slot]
        half = 256 / grid / 2
        x, y = np.array([2 * col + 1, 2 * row + 1]) * half + 1.5 * half * np.tanh(raw[:2])
        side = 256 / (1 + np.exp(-raw[2]))
        expected[image, row, col, slot] = [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
    np.testing.assert_allclose(decoded(cells, config), expected, atol=1e-3)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 9),
    st.sampled_from([4, 8, 16]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["swarm", "plain"]),
    st.sampled_from([(256, 256), (96, 352), (101, 77)]),
)
def test_perfect_cells_decode_to_the_truth(
    seed: int, count: int, grid: Literal[4, 8, 16], boxes: Literal[1, 2, 4], rule: Rule, size: tuple[int, int]
) -> None:
    config = GridConfig(grid=grid, boxes=boxes, assignment=rule)
    truth = assignment.squares(random_boxes(seed, count, *size))
    target = assignment.targets(truth, NONE, *size, config)
    cells = perfect_cells(target, config)[None]
    plane = target[..., PLANE] > 0
    np.testing.assert_array_equal(ops.convert_to_numpy(decode.scores(cells))[0] > 0.5, plane)
    predicted = decoded(cells, config)[0][plane]
    # Every box is one of the truth.
    errors = np.abs(predicted[:, None] - truth[None]).max(axis=2, initial=0)
    assert (errors.min(axis=1, initial=np.inf) < 0.01).all()
    # All of the truth is predicted, but for airplanes in cells that have more of them than slots.
    cell_of = ((truth[:, :2] + truth[:, 2:]) / 2 // config.cell_px).astype(int)
    alone = [(cell_of == cell).all(axis=1).sum() <= boxes for cell in cell_of]
    assert (errors.min(axis=0, initial=np.inf) < 0.01)[alone].all()


def test_scores_are_the_softmax_of_the_logits() -> None:
    cells = np.zeros((1, 1, 1, 4, 5), np.float32)
    cells[0, 0, 0, :, 3] = [0, 1, 40, -40]
    cells[0, 0, 0, :, 4] = [0, 1 + np.log(3), -40, 40]
    np.testing.assert_allclose(ops.convert_to_numpy(decode.scores(cells))[0, 0, 0], [0.5, 0.75, 0, 1], atol=1e-6)


@pytest.mark.parametrize("value", [1e3, 1e30, -1e30])
def test_extreme_cells_give_finite_boxes(value: float) -> None:
    boxes = decoded(np.full((1, 2, 2, 2, 5), value, np.float32), GridConfig())
    assert np.isfinite(boxes).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
