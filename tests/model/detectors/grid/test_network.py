from dataclasses import asdict
from typing import Any, Literal

import keras
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from numpy.typing import NDArray

from geo.errors import ConfigError
from model.common.config import from_mapping
from model.detectors.config import GridConfig
from model.detectors.grid import losses
from model.detectors.grid.losses import PLANE
from model.detectors.grid.network import build, decode_boxes, decode_scores
from tests.model.detectors.graphs import longest_chain
from tests.model.detectors.grid.cells import perfect_cells

Grid = Literal[4, 8, 16]
SMALL = 8  # layers


def random_images(height: int, width: int, count: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(7).uniform(0, 255, (count, height, width, 3)).astype(np.float32)


def predict(model: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(model(pixels, training=False)))


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (GridConfig(), 70_771),
        (GridConfig(layers=17), 504_578),
        (GridConfig(backbone="darknet", layers=10), 1_664_194),
        (GridConfig(backbone="darknet", layers=17), 2_115_938),
        (GridConfig(boxes=1), 69_754),
        (GridConfig(grid=4, boxes=4), 72_805),
    ],
    ids=["squeezenet 12", "squeezenet 17", "darknet 10", "darknet 17", "one box", "4x4x4"],
)
def test_the_number_of_parameters_is_known(config: GridConfig, parameters: int) -> None:
    model = build(config)
    assert model.count_params() == parameters
    assert longest_chain(model.get_layer("last_conv").output) == config.layers


@pytest.mark.parametrize(
    ("grid", "boxes", "height", "width", "shape"),
    [
        (16, 2, 256, 256, (2, 16, 16, 2, 5)),
        (16, 1, 512, 96, (2, 32, 6, 1, 5)),
        (8, 4, 256, 128, (2, 8, 4, 4, 5)),
        (4, 1, 256, 512, (2, 4, 8, 1, 5)),
        (4, 2, 96, 32, (2, 2, 1, 2, 5)),
        (16, 2, 50, 33, (2, 4, 3, 2, 5)),
    ],
)
def test_there_is_a_cell_for_every_part_of_any_image(
    grid: Grid, boxes: Literal[1, 2, 4], height: int, width: int, shape: tuple[int, ...]
) -> None:
    config = GridConfig(layers=SMALL, grid=grid, boxes=boxes)
    assert config.cell_px == 256 // grid
    cells = predict(build(config), random_images(height, width, 2))
    assert cells.shape == shape
    assert cells.dtype == np.float32


def test_an_image_is_padded_with_black_below_and_to_the_right() -> None:
    model = build(GridConfig(layers=SMALL, grid=4))
    image = random_images(96, 130)
    filled = np.pad(image, ((0, 0), (0, 32), (0, 62), (0, 0)))
    np.testing.assert_allclose(predict(model, image), predict(model, filled), atol=1e-5)


@pytest.mark.parametrize("grid", [16, 4])
def test_inner_cells_of_a_large_tile_are_those_of_its_crops(grid: Grid) -> None:
    # The receptive field of the 12 layers is 50 px to every side: a crop's edges have no effect beyond that.
    config = GridConfig(grid=grid)
    keras.utils.set_random_seed(2)
    model, tile = build(config), random_images(512, 512)
    row, col, cell, margin = 2, 1, config.cell_px, -(-50 // config.cell_px)
    crop = tile[:, row * cell : row * cell + 256, col * cell : col * cell + 256]
    inner = slice(margin, grid - margin)
    tile_cells = predict(model, tile)[:, row : row + grid, col : col + grid][:, inner, inner]
    assert tile_cells.size > 0
    np.testing.assert_allclose(predict(model, crop)[:, inner, inner], tile_cells, rtol=1e-3, atol=1e-4)
    assert tile_cells.std() > 0.01


def test_cells_of_a_coarser_grid_are_averages() -> None:
    keras.utils.set_random_seed(3)
    fine, coarse = (build(GridConfig(layers=SMALL, grid=grid)) for grid in (16, 4))
    coarse.set_weights(fine.get_weights())
    image = random_images(128, 192)
    blocks = predict(fine, image).reshape(1, 2, 4, 3, 4, 2, 5)
    np.testing.assert_allclose(predict(coarse, image), blocks.mean(axis=(2, 4)), atol=1e-5)


def test_position_and_size_are_normalised_with_a_scale_and_the_rest_of_the_head_is_not() -> None:
    keras.utils.set_random_seed(4)
    model = build(GridConfig(layers=SMALL, boxes=2))
    kernel, bias = model.get_layer("last_conv").get_weights()
    # Position and size do not depend on a factor and a shift of the last convolution; the logits do.
    model.get_layer("last_conv").set_weights([kernel * 3, bias + 5])
    scaled = ops.convert_to_numpy(model(random_images(64, 64, 2), training=True))
    model.get_layer("last_conv").set_weights([kernel, bias])
    plain = ops.convert_to_numpy(model(random_images(64, 64, 2), training=True))
    np.testing.assert_allclose(scaled[..., :3], plain[..., :3], atol=0.1)
    np.testing.assert_allclose(scaled[..., 3:], 3 * plain[..., 3:] + 5, atol=1e-3)
    assert {v.name for v in model.get_layer("squares_normalised").trainable_weights} == {"gamma", "beta"}


def test_all_momenta_are_those_of_the_talk() -> None:
    normalised = [layer for layer in build(GridConfig()).layers if isinstance(layer, layers.BatchNormalization)]
    assert len(normalised) == 1 + 5 * 3 + 1
    assert {layer.momentum for layer in normalised} == {0.993}
    assert [layer.name for layer in normalised if layer.scale] == ["squares_normalised"]


def test_slots_are_independent() -> None:
    model = build(GridConfig(layers=SMALL, boxes=2))
    kernel, bias = model.get_layer("last_conv").get_weights()
    order = [3, 4, 5, 0, 1, 2, 8, 9, 6, 7]
    image = random_images(64, 64)
    plain = predict(model, image)
    model.get_layer("last_conv").set_weights([kernel[..., order], bias[order]])
    np.testing.assert_allclose(predict(model, image), plain[..., ::-1, :], atol=1e-5)


def test_names_and_shapes_of_weights_do_not_depend_on_what_was_built_before() -> None:
    first, second = (build(GridConfig(layers=SMALL, spatial_dropout=rate)) for rate in (0.0, 0.3))
    assert [(v.path, v.shape) for v in first.weights] == [(v.path, v.shape) for v in second.weights]
    assert len({v.path for v in first.weights}) == len(first.weights)


def test_a_config_is_read_and_written() -> None:
    config = GridConfig(
        backbone="darknet", layers=10, grid=8, boxes=4, assignment="plain", loss_weights=(1.0, 1.0, 1.0)
    )
    written = yaml.safe_load(yaml.safe_dump(asdict(config)))
    assert from_mapping(GridConfig, written, "x.yaml") == config
    assert from_mapping(GridConfig, {}, "x.yaml") == GridConfig()


@pytest.mark.parametrize(
    "wrong",
    [
        {"backbone": "resnet"},
        {"layers": 7},
        {"backbone": "darknet", "layers": 9},
        {"grid": 5},
        {"boxes": 3},
        {"cell_grow": 0.9},
        {"cell_grow": float("nan")},
        {"spatial_dropout": 1.0},
        {"spatial_dropout": -0.1},
        {"loss_weights": [1, 3]},
        {"loss_weights": [0, 0, 0]},
        {"loss_weights": [1, -3, 30]},
        {"assignment": "best"},
        {"channels": 64},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"x.yaml: .*{list(wrong)[-1]}"):
        from_mapping(GridConfig, wrong, "x.yaml")


NONE = np.zeros((0, 4))
Rule = Literal["swarm", "plain"]


def decoded(cells: NDArray[np.floating], config: GridConfig) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(decode_boxes(ops.convert_to_tensor(cells, "float32"), config)))


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
    truth = losses.squares(random_boxes(seed, count, *size))
    target = losses.targets(truth, NONE, *size, config)
    cells = perfect_cells(target, config)[None]
    plane = target[..., PLANE] > 0
    np.testing.assert_array_equal(ops.convert_to_numpy(decode_scores(cells))[0] > 0.5, plane)
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
    np.testing.assert_allclose(ops.convert_to_numpy(decode_scores(cells))[0, 0, 0], [0.5, 0.75, 0, 1], atol=1e-6)


@pytest.mark.parametrize("value", [1e3, 1e30, -1e30])
def test_extreme_cells_give_finite_boxes(value: float) -> None:
    boxes = decoded(np.full((1, 2, 2, 2, 5), value, np.float32), GridConfig())
    assert np.isfinite(boxes).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
