import itertools
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from geo.boxes import iou_matrix
from model.detectors import INPUT_MULTIPLE
from model.detectors.anchor_free import losses
from model.detectors.anchor_free.network import OUTPUT_STRIDE, build, decode_boxes, decode_scores
from model.detectors.config import DetectorConfig
from model.inference.cells import tile_detections


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96)])
def test_there_is_a_cell_for_every_four_pixels(network: Any, height: int, width: int) -> None:
    cells = network(np.zeros((2, height, width, 3), np.float32), training=False)
    assert OUTPUT_STRIDE == 4
    assert tuple(cells.shape) == (2, height // 4, width // 4, 5)
    assert height % INPUT_MULTIPLE == width % INPUT_MULTIPLE == 0


def test_the_number_of_parameters_is_known(network: Any) -> None:
    # Any change of the layers makes weights on disk useless: it must not go unnoticed.
    assert network.count_params() == 3_111_205
    assert build(DetectorConfig(), folded=True).count_params() == 3_050_869


def test_pixels_are_scaled_as_in_the_training_of_the_backbone(network: Any) -> None:
    pixels = np.array([0, 127, 255], np.float32).reshape(1, 1, 1, 3)
    scaled = ops.convert_to_numpy(network.get_layer("scaled")(pixels))
    np.testing.assert_allclose(scaled.ravel(), [-127 / 128, 0, 1])


def test_an_untrained_detector_gives_low_scores_and_boxes_of_medium_size() -> None:
    model = build(DetectorConfig(channels=8))
    layer = model.get_layer("cells")
    cells = ops.reshape(layer.bias, (1, 1, 1, 5))
    assert float(decode_scores(cells)[0, 0, 0]) == pytest.approx(0.01)
    xmin, ymin, xmax, ymax = ops.convert_to_numpy(decode_boxes(cells))[0, 0, 0]
    assert xmax - xmin == pytest.approx(2 * np.exp(1.6) * OUTPUT_STRIDE, rel=1e-5)
    assert ymax - ymin == pytest.approx(2 * np.exp(1.6) * OUTPUT_STRIDE, rel=1e-5)


def test_the_seed_determines_every_kernel() -> None:
    first, same, other = (weights_of_seed(seed) for seed in (1, 1, 2))
    kernels = [path for path in first if path.endswith("kernel")]
    assert kernels
    assert all((first[path] == same[path]).all() and (first[path] != other[path]).any() for path in kernels)


def weights_of_seed(seed: int) -> dict[str, NDArray[np.float32]]:
    """Build a detector after a seed, and return its weights."""
    keras.utils.set_random_seed(seed)
    return {variable.path: variable.value.numpy() for variable in build(DetectorConfig(channels=8)).variables}


def test_images_of_a_batch_are_independent(network: Any) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 64, 3)).astype(np.float32)
    together = ops.convert_to_numpy(network(images, training=False))
    alone = ops.convert_to_numpy(network(images[1:], training=False))
    np.testing.assert_allclose(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_every_part_of_the_image_has_an_effect(network: Any) -> None:
    image = np.full((1, 64, 64, 3), 100, np.float32)
    plain = ops.convert_to_numpy(network(image, training=False))
    for row, col in [(0, 0), (0, 63), (63, 0), (63, 63), (31, 40)]:
        spotted = image.copy()
        spotted[0, row, col] = 255
        assert np.abs(ops.convert_to_numpy(network(spotted, training=False)) - plain).max() > 1e-4


def test_a_shift_of_the_image_shifts_the_cells(network: Any) -> None:
    # By the coarsest stride; the receptive field reaches the edges from everywhere, so the cells change a little.
    images = np.full((3, 160, 160, 3), 100, np.float32)
    spot = np.random.default_rng(3).uniform(0, 255, (20, 20, 3))
    images[0, 64:84, 64:84], images[1, 64:84, 96:116] = spot, spot
    cells = ops.convert_to_numpy(network(images, training=False))
    left, right = (cells[number, 12:28] - cells[2, 12:28] for number in range(2))
    moved = {cells: np.abs(right[:, 12 + cells : 24 + cells] - left[:, 12:24]).mean() for cells in range(12)}
    assert moved.pop(32 // 4) < 0.3 * min(moved.values())


def test_names_and_shapes_of_weights_do_not_depend_on_what_was_built_before() -> None:
    first, second = build(DetectorConfig(channels=8)), build(DetectorConfig(channels=8))
    assert [(v.path, v.shape) for v in first.variables] == [(v.path, v.shape) for v in second.variables]
    assert len({v.path for v in first.variables}) == len(first.variables)


def test_the_config_sets_the_width() -> None:
    model = build(DetectorConfig(channels=8))
    assert model.get_layer("head_1_conv").kernel.shape == (3, 3, 8, 8)
    assert model.get_layer("cells").kernel.shape == (2, 2, 5, 8)
    assert isinstance(model, keras.Model)


@pytest.mark.parametrize(("backbone", "channels"), [("resnet50", 64), ("efficientnet_lite0", 0)])
def test_a_network_that_cannot_be_built_is_refused(backbone: str, channels: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        DetectorConfig(backbone=backbone, channels=channels)


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
    detections = ops.convert_to_numpy(decode_boxes(ops.convert_to_tensor(cells, "float32")))
    np.testing.assert_allclose(detections, expected, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_perfect_cells_decode_to_the_airplanes(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 50, (count, 2))
    airplanes = np.concatenate([low, low + generator.uniform(8, 60, (count, 2))], axis=1)
    target = losses.targets(airplanes, np.zeros((0, 4)), 96, 64)
    cells = np.full((*target.shape[:2], 5), -9.0)
    positive = target[..., losses.POSITIVE] > 0
    for row, col in np.argwhere(positive):
        cells[row, col] = [9.0, *encode(target[row, col, losses.BOX], row, col)]
    detections = ops.convert_to_numpy(decode_boxes(ops.convert_to_tensor(cells[None], "float32")))[0]
    np.testing.assert_allclose(detections[positive], target[positive][:, losses.BOX], atol=1e-3)
    chosen = ops.convert_to_numpy(decode_scores(cells[None]))[0] > 0.5
    np.testing.assert_array_equal(chosen, positive)


def test_scores_are_the_logistic_function_of_the_first_channel() -> None:
    cells = np.zeros((1, 1, 4, 5), np.float32)
    cells[0, 0, :, 0] = [-30, 0, np.log(3), 30]
    scores = ops.convert_to_numpy(decode_scores(cells))
    np.testing.assert_allclose(scores[0, 0], [0, 0.5, 0.75, 1], atol=1e-6)


@pytest.mark.parametrize("value", [1e3, 1e30, -1e30])
def test_extreme_cells_give_finite_boxes(value: float) -> None:
    cells = np.full((1, 2, 2, 5), value, np.float32)
    boxes = ops.convert_to_numpy(decode_boxes(cells))
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
