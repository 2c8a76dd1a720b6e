from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from model.detectors import normalization
from model.detectors.backbones import stacked
from model.detectors.backbones.stacked import darknet_features, squeezenet_features
from model.detectors.config import MIN_LAYERS
from tests.model.detectors.backbones.graphs import convolutions, longest_chain

FEATURES = (64, 64, 8)


def stages_of(layer_count: int, stages: int) -> list[list[int]]:
    """The numbers of the modules of each stage, as they come."""
    actual: dict[int, list[int]] = {stage: [] for stage in range(stages)}

    def depth(stage: int, number: int) -> int:
        actual[stage].append(number)
        return 1

    stacked.stack_modules(keras.Input(FEATURES), layer_count, stages, depth, lambda x, *_: x, 0.0)
    return list(actual.values())


@pytest.mark.parametrize(
    ("layer_count", "stages", "modules"),
    [
        (8, 3, [[0], [1], [2]]),
        (10, 4, [[0], [1], [2], [3]]),
        (12, 3, [[0, 1], [2, 3], [4]]),
        (20, 4, [[0, 1, 2], [3, 4], [5, 6], [7, 8]]),
    ],
)
def test_stages_share_the_modules_evenly_the_first_having_more(
    layer_count: int, stages: int, modules: list[list[int]]
) -> None:
    assert stages_of(layer_count, stages) == modules


@pytest.mark.parametrize("layer_count", [10, 11])
def test_an_odd_layer_comes_after_the_first_pooling(layer_count: int) -> None:
    pixels = keras.Input(FEATURES)
    x = stacked.stack_modules(
        pixels, layer_count, 4, lambda stage, number: 10 * stage + number + 5, lambda x, *_: x, 0.0
    )
    convolutions = [layer for layer in keras.Model(pixels, x).layers if isinstance(layer, layers.Conv2D)]
    assert [(layer.filters, layer.kernel_size, layer.input.shape[1:]) for layer in convolutions] == (
        [(5, (3, 3), (32, 32, 8))] if layer_count == 11 else []
    )
    assert x.shape[1:3] == (4, 4)


def small(dropout: float = 0.0) -> Any:
    pixels = keras.Input(FEATURES)
    x = stacked.stack_modules(
        pixels, 8, 3, lambda *_: 6, lambda x, name, depth: stacked.conv_norm_relu(x, name, depth, 3), dropout
    )
    return keras.Model(pixels, x)


def test_a_convolution_is_normalised_without_a_scale_and_rectified() -> None:
    image = np.random.default_rng(1).normal(size=(2, *FEATURES)).astype(np.float32)
    pixels = keras.Input(FEATURES)
    model = keras.Model(pixels, stacked.conv_norm_relu(pixels, "one", 4, 3, strides=2))
    convolved = ops.convert_to_numpy(model.get_layer("one_conv")(image))
    mean, variance = convolved.mean(axis=(0, 1, 2)), convolved.var(axis=(0, 1, 2))
    actual = ops.convert_to_numpy(model(image, training=True))
    np.testing.assert_allclose(actual, np.maximum((convolved - mean) / np.sqrt(variance + 1e-3), 0), atol=1e-4)
    assert {v.name for v in model.get_layer("one_normalised").weights} == {"beta", "moving_mean", "moving_variance"}
    np.testing.assert_allclose(model.get_layer("one_normalised").moving_mean, 0.007 * mean, atol=1e-5)


def test_spatial_dropout_drops_whole_channels_in_training_alone() -> None:
    model = small(dropout=0.5)
    ones = np.ones((3, 4, 4, 6), np.float32)
    kept = ops.convert_to_numpy(model.get_layer("dropout_0")(ones, training=True))
    assert set(np.unique(kept)) == {0, 2}
    assert (kept == kept[:, :1, :1]).all()
    np.testing.assert_array_equal(model.get_layer("dropout_0")(ones, training=False), ones)
    assert len([layer for layer in model.layers if isinstance(layer, layers.SpatialDropout2D)]) == 3


def test_dropout_changes_no_weight() -> None:
    assert [(v.path, v.shape) for v in small(dropout=0.5).weights] == [(v.path, v.shape) for v in small().weights]
    assert not [layer for layer in small().layers if isinstance(layer, layers.SpatialDropout2D)]


def test_folding_does_not_change_it() -> None:
    arrays = {v.path: np.asarray(v.value) for v in small().weights}
    folded = normalization.fold(arrays)
    assert folded.keys() == arrays.keys()
    assert all((folded[path] == arrays[path]).all() for path in arrays)


def pair(depth_in: int, depth: int, side: int) -> list[tuple[int, int, int, int]]:
    """1x1 and 3x3: channels in, kernel, channels out, side."""
    return [(depth_in, 1, depth // 2, side), (depth // 2, 3, depth, side)]


DARKNET_10 = [
    (3, 3, 32, 256),
    *pair(32, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 512, 16),
]
DARKNET_17 = [
    (3, 3, 32, 256),
    (32, 3, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 256, 32),
    *pair(256, 512, 16),
]


def fire(depth_in: int, squeeze: int, side: int) -> list[tuple[int, int, int, int]]:
    """A module of SqueezeNet: channels in, kernel, channels out, side."""
    return [(depth_in, 1, squeeze, side), (squeeze, 1, 4 * squeeze, side), (squeeze, 3, 4 * squeeze, side)]


SQUEEZENET_12 = [
    (3, 6, 32, 128),
    *fire(32, 5, 64),
    *fire(40, 10, 64),
    *fire(80, 15, 32),
    *fire(120, 20, 32),
    *fire(160, 25, 16),
]
SQUEEZENET_17 = [
    (3, 3, 128, 256),
    (128, 3, 64, 128),
    *fire(64, 8, 128),
    *fire(64, 16, 128),
    *fire(128, 24, 64),
    *fire(192, 32, 64),
    *fire(256, 40, 32),
    *fire(320, 48, 32),
    *fire(384, 56, 16),
]


def darknet(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, darknet_features(pixels, layer_count))


def squeezenet(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, squeezenet_features(pixels, layer_count))


@pytest.mark.parametrize(
    ("build", "layer_count", "expected"),
    [
        (darknet, 10, DARKNET_10),
        (darknet, 17, DARKNET_17),
        (squeezenet, 12, SQUEEZENET_12),
        (squeezenet, 17, SQUEEZENET_17),
    ],
)
def test_the_networks_of_the_talk_have_their_layers(
    build: Callable[[int], Any], layer_count: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert convolutions(build(layer_count)) == expected


@pytest.mark.parametrize(
    ("build", "layer_counts"),
    [
        (darknet, (MIN_LAYERS["darknet"], 11, 17)),
        (squeezenet, (MIN_LAYERS["squeezenet"], 11, 12, 16, 17, 20)),
    ],
)
def test_a_network_has_the_given_number_of_layers(build: Callable[[int], Any], layer_counts: tuple[int, ...]) -> None:
    for layer_count in layer_counts:
        features = build(layer_count).output
        assert longest_chain(features) == layer_count - 1  # the last is the head's
        assert features.shape[1:3] == (16, 16)


def test_kernels_of_3_and_1_alternate_in_darknet() -> None:
    assert [kernel for _, kernel, _, _ in convolutions(darknet(10))] == [3, 1, 3, 1, 3, 1, 3, 1, 3]


def test_squeezenets_below_17_layers_begin_with_a_stride() -> None:
    assert convolutions(squeezenet(16))[0] == SQUEEZENET_12[0]
    assert convolutions(squeezenet(18))[0] == SQUEEZENET_17[0]


def test_a_fire_module_expands_side_by_side() -> None:
    model = squeezenet(8)
    narrow, wide = (model.get_layer(f"module_0_expand_{kernel}_conv") for kernel in (1, 3))
    assert narrow.input is wide.input
