import keras
import numpy as np
import pytest

from model.detectors.classifier import build
from model.detectors.config import ClassifierConfig, ConvConfig, DenseConfig


@pytest.mark.parametrize(
    ("config", "trainable", "fixed"),
    [
        # 1200 x 200 + 200, 200 x 20 + 20, 20 x 2 + 2
        (DenseConfig(), 244_262, 0),
        (DenseConfig(dropout=0.4, l2=1e-4), 244_262, 0),
        # 4 x 4 x 3 x 16, 3 x 3 x 16 x 32, 2 x 2 x 32 x 64, 1600 x 80, 80 x 2 + 2, and shifts of 16, 32, 64 and 80
        # channels; whose means and variances are not trained.
        (ConvConfig(filters="S"), 141_922, 384),
        (ConvConfig(filters="M"), 156_178, 384),
        (ConvConfig(filters="L"), 175_650, 384),
        (ConvConfig(depth=8), 71_554, 272),
    ],
)
def test_the_networks_have_as_many_weights_as_in_the_talk(config: ClassifierConfig, trainable: int, fixed: int) -> None:
    model = build(config)
    assert model.count_params() == trainable + fixed
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trainable


def shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


def test_the_dense_network_layer_by_layer() -> None:
    assert shapes(build(DenseConfig())) == {
        "pixels": (20, 20, 3),
        "scaled": (20, 20, 3),
        "flat": (1200,),
        "dense_200": (200,),
        "dropout": (200,),
        "dense_20": (20,),
        "probabilities": (2,),
    }


def test_the_convolutional_network_layer_by_layer() -> None:
    actual = shapes(build(ConvConfig(filters="S")))
    expected = {
        "conv_0": (20, 20, 16),
        "conv_1": (10, 10, 32),
        "conv_2": (5, 5, 64),
        "flat": (1600,),
        "dense_80": (80,),
    }
    assert actual.items() >= expected.items()
    assert list(actual)[-2:] == ["dropout", "probabilities"]


@pytest.mark.parametrize("config", [DenseConfig(), ConvConfig()])
def test_outputs_are_probabilities(config: ClassifierConfig) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    actual = build(config).predict_on_batch(images)
    assert actual.shape == (3, 2)
    np.testing.assert_allclose(actual.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(actual[:, 0]) > 0


def test_l2_penalises_every_kernel_and_nothing_else() -> None:
    for config in (DenseConfig(l2=0.01), ConvConfig(l2=0.01)):
        model = build(config)
        squares = sum(float((weight.numpy() ** 2).sum()) for weight in model.weights if len(weight.shape) > 1)
        assert float(sum(model.losses)) == pytest.approx(0.01 * squares, rel=1e-4)
    assert build(DenseConfig()).losses == []


def test_the_config_sets_momentum_and_dropout() -> None:
    model = build(ConvConfig(batch_norm_momentum=0.9, dropout=0.45))
    assert {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)} == {0.9}
    assert model.get_layer("dropout").rate == 0.45


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (DenseConfig, {"dropout": 1.0}),
        (DenseConfig, {"l2": -1.0}),
        (ConvConfig, {"dropout": -0.1}),
        (ConvConfig, {"depth": 0}),
        (ConvConfig, {"batch_norm_momentum": 1.0}),
    ],
)
def test_impossible_layers_are_refused(kind: type, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        kind(**changes)
