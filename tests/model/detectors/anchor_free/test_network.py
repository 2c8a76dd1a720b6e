from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from model.detectors import INPUT_MULTIPLE
from model.detectors.anchor_free import decode
from model.detectors.anchor_free.network import OUTPUT_STRIDE, build
from model.detectors.config import DetectorConfig


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
    assert float(decode.scores(cells)[0, 0, 0]) == pytest.approx(0.01)
    xmin, ymin, xmax, ymax = ops.convert_to_numpy(decode.boxes(cells))[0, 0, 0]
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
    here, there = (cells[number, 12:28] - cells[2, 12:28] for number in range(2))
    moved = {cells: np.abs(there[:, 12 + cells : 24 + cells] - here[:, 12:24]).mean() for cells in range(12)}
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
