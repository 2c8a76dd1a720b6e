from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from model.detectors import normalization
from model.detectors.backbones import stacked

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
    assert stacked.min_layers(stages) <= layer_count


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


def test_folding_leaves_it_as_it_is() -> None:
    arrays = {v.path: np.asarray(v.value) for v in small().weights}
    folded = normalization.fold(arrays)
    assert folded.keys() == arrays.keys()
    assert all((folded[path] == arrays[path]).all() for path in arrays)
