from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from model.detectors import INPUT_MULTIPLE
from model.detectors.anchor_free import decode
from model.detectors.anchor_free.network import OUTPUT_STRIDE, DetectorConfig, build


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96)])
def test_a_cell_for_every_four_pixels(network: Any, height: int, width: int) -> None:
    cells = network(np.zeros((2, height, width, 3), np.float32), training=False)
    assert OUTPUT_STRIDE == 4
    assert tuple(cells.shape) == (2, height // 4, width // 4, 5)
    assert height % INPUT_MULTIPLE == width % INPUT_MULTIPLE == 0


def test_the_number_of_parameters_is_known(network: Any) -> None:
    # Any change of the layers makes weights on disk useless: it should not come unseen.
    assert network.count_params() == 3_111_205
    assert build(DetectorConfig(), folded=True).count_params() == 3_050_869


def test_pixels_are_scaled_as_the_backbone_was_trained(network: Any) -> None:
    pixels = np.array([0, 127, 255], np.float32).reshape(1, 1, 1, 3)
    scaled = ops.convert_to_numpy(network.get_layer("scaled")(pixels))
    np.testing.assert_allclose(scaled.ravel(), [-127 / 128, 0, 1])


def test_an_untrained_detector_says_rarely_and_of_middling_size() -> None:
    model = build(DetectorConfig(channels=8))
    layer = model.get_layer("cells")
    cells = ops.reshape(layer.bias, (1, 1, 1, 5))
    assert float(decode.scores(cells)[0, 0, 0]) == pytest.approx(0.01)
    xmin, ymin, xmax, ymax = ops.convert_to_numpy(decode.boxes(cells))[0, 0, 0]
    assert xmax - xmin == pytest.approx(2 * np.exp(1.6) * OUTPUT_STRIDE, rel=1e-5)
    assert ymax - ymin == pytest.approx(2 * np.exp(1.6) * OUTPUT_STRIDE, rel=1e-5)


def test_a_seed_makes_every_kernel() -> None:
    one, same, other = (seeded(seed) for seed in (1, 1, 2))
    kernels = [path for path in one if path.endswith("kernel")]
    assert kernels
    assert all((one[path] == same[path]).all() and (one[path] != other[path]).any() for path in kernels)


def seeded(seed: int) -> dict[str, NDArray[np.float32]]:
    """The numbers of a detector built after a seed."""
    keras.utils.set_random_seed(seed)
    return {variable.path: variable.value.numpy() for variable in build(DetectorConfig(channels=8)).variables}


def test_pictures_of_a_batch_do_not_see_each_other(network: Any) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 32, 64, 3)).astype(np.float32)
    together = ops.convert_to_numpy(network(pictures, training=False))
    alone = ops.convert_to_numpy(network(pictures[1:], training=False))
    np.testing.assert_allclose(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_every_part_of_the_picture_is_seen(network: Any) -> None:
    picture = np.full((1, 64, 64, 3), 100, np.float32)
    plain = ops.convert_to_numpy(network(picture, training=False))
    for row, col in [(0, 0), (0, 63), (63, 0), (63, 63), (31, 40)]:
        spotted = picture.copy()
        spotted[0, row, col] = 255
        assert np.abs(ops.convert_to_numpy(network(spotted, training=False)) - plain).max() > 1e-4


def test_what_moves_in_the_picture_moves_in_the_cells(network: Any) -> None:
    # By the coarsest stride; what is seen of the edges, from everywhere, changes a little.
    pictures = np.full((3, 160, 160, 3), 100, np.float32)
    spot = np.random.default_rng(3).uniform(0, 255, (20, 20, 3))
    pictures[0, 64:84, 64:84], pictures[1, 64:84, 96:116] = spot, spot
    cells = ops.convert_to_numpy(network(pictures, training=False))
    here, there = (cells[number, 12:28] - cells[2, 12:28] for number in range(2))
    moved = {cells: np.abs(there[:, 12 + cells : 24 + cells] - here[:, 12:24]).mean() for cells in range(12)}
    assert moved.pop(32 // 4) < 0.3 * min(moved.values())


def test_names_and_shapes_of_weights_do_not_depend_on_what_was_built_before() -> None:
    one, other = build(DetectorConfig(channels=8)), build(DetectorConfig(channels=8))
    assert [(v.path, v.shape) for v in one.variables] == [(v.path, v.shape) for v in other.variables]
    assert len({v.path for v in one.variables}) == len(one.variables)


def test_the_width_is_that_of_the_config() -> None:
    model = build(DetectorConfig(channels=8))
    assert model.get_layer("head_1_conv").kernel.shape == (3, 3, 8, 8)
    assert model.get_layer("cells").kernel.shape == (2, 2, 5, 8)
    assert isinstance(model, keras.Model)


@pytest.mark.parametrize(("backbone", "channels"), [("resnet50", 64), ("efficientnet_lite0", 0)])
def test_a_network_that_cannot_be_built_is_refused(backbone: str, channels: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        DetectorConfig(backbone=backbone, channels=channels)
