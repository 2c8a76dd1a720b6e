"""The talk's first models: is there an airplane in a chip of 20x20 px?

Two networks: a dense one, and one of three convolutions. Both end in a softmax over no airplane and airplane.
"""

from typing import Any

import keras
from keras import layers

from model.detectors.config import ClassifierConfig, ConvConfig, DenseConfig

#: Side of a chip, pixels.
SIDE_PX = 20
# Sides of the three filters.
_FILTERS = {"S": (4, 3, 2), "M": (5, 4, 3), "L": (6, 5, 4)}
_STRIDES = (1, 2, 2)


def build(config: ClassifierConfig) -> keras.Model:
    """Build a classifier with random weights.

    Returns:
        A model from pixels (B, 20, 20, 3), 0..255, to probabilities (B, 2): no airplane, airplane.
    """
    pixels = keras.Input((SIDE_PX, SIDE_PX, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(pixels)
    x = _dense(x, config) if config.kind == "dense" else _conv(x, config)
    # In the order of the labels.
    probabilities = layers.Dense(2, activation="softmax", name="probabilities", **_kernel(config))(x)
    return keras.Model(pixels, probabilities, name="classifier")


def _dense(x: Any, config: DenseConfig) -> Any:
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(200, activation="relu", name="dense_200", **_kernel(config))(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return layers.Dense(20, activation="relu", name="dense_20", **_kernel(config))(x)


def _conv(x: Any, config: ConvConfig) -> Any:
    for number, (side, stride) in enumerate(zip(_FILTERS[config.filters], _STRIDES, strict=True)):
        channels = config.depth * 2**number
        name = f"conv_{number}"
        x = layers.Conv2D(channels, side, strides=stride, padding="same", use_bias=False, name=name, **_kernel(config))(
            x
        )
        x = _normalized(x, name, config)
    x = layers.Flatten(name="flat")(x)
    x = _normalized(layers.Dense(80, use_bias=False, name="dense_80", **_kernel(config))(x), "dense_80", config)
    return layers.Dropout(config.dropout, name="dropout")(x)


def _normalized(x: Any, name: str, config: ConvConfig) -> Any:
    """Apply batch normalisation and ReLU; without a scale, which the next layer's weights make up for."""
    x = layers.BatchNormalization(momentum=config.batch_norm_momentum, scale=False, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _kernel(config: ClassifierConfig) -> dict[str, Any]:
    """Return the initializer and the regularizer of a layer's kernel."""
    return {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(config.l2) if config.l2 else None,
    }
