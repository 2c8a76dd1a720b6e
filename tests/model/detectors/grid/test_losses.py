import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from model.detectors.config import GridConfig
from model.detectors.grid import assignment
from model.detectors.grid.assignment import COUNTED, PLANE, POSITION, SIZE
from model.detectors.grid.losses import GridLoss, grid_loss, parts
from tests.model.detectors.grid.cells import perfect_cells

CONFIG = GridConfig()
PLAIN = GridConfig(assignment="plain")
TRUTH = np.array([[6.0, 10, 30, 50], [34, 8, 60, 22]])
HIDDEN = np.array([[36.0, 36, 64, 64]])
Cells = NDArray[np.float32]


def target(config: GridConfig = CONFIG, boxes: NDArray[np.float64] = TRUTH) -> Cells:
    return assignment.targets(boxes, HIDDEN, 64, 64, config)[None]


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
