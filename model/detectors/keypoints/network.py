"""The keypoint network: heat maps of nose, tail and wingtips in a crop around one airplane.

An encoder to a sixteenth of the crop and a decoder back to a quarter, with connections between layers of one size. A
heat map can say that the nose is at one of two places; coordinates, if they were regressed, would be between them.
"""

from typing import Any

import keras
from keras import layers, ops

from model.detectors.keypoints.heat_maps import CELLS, CROP_PX

#: Points of an airplane.
POINTS = 4


def build() -> keras.Model:
    """Build the network with random weights.

    Returns:
        A model from pixels (B, CROP_PX, CROP_PX, 3), 0..255, to logits (B, CELLS * CELLS, POINTS), cells row by row;
        their softmax over the cells is the probability that a point lies in a cell.
    """
    pixels = keras.Input((CROP_PX, CROP_PX, 3), name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2, name="scaled")(pixels)
    x = _conv(_conv(x, 24, stride=2), 32)
    quarter = _conv(_conv(x, 48, stride=2), 48)
    eighth = _conv(_conv(quarter, 96, stride=2), 96)
    x = _conv(_conv(_conv(eighth, 160, stride=2), 160), 160)
    x = _conv(layers.Add()([_enlarged(x, 96), eighth]), 96)
    x = _conv(_conv(layers.Add()([_enlarged(x, 48), quarter]), 64), 64)
    x = layers.Conv2D(POINTS, 1, name="heat_maps")(x)
    return keras.Model(pixels, layers.Reshape((CELLS * CELLS, POINTS), name="logits")(x), name="keypoints")


def loss(targets: Any, logits: Any) -> Any:
    """Return the cross-entropy of the heat maps, (B,); points whose targets are 0 everywhere do not count.

    Args:
        targets: (B, cells, points) probability that a point lies in a cell.
        logits: (B, cells, points).
    """
    per_point = -ops.sum(targets * ops.log_softmax(logits, axis=1), axis=1)
    known = ops.sum(targets, axis=(1, 2))
    return ops.sum(per_point, axis=1) / ops.maximum(known, 1.0)


def _conv(x: Any, channels: int, stride: int = 1, side: int = 3) -> Any:
    x = layers.Conv2D(channels, side, strides=stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def _enlarged(x: Any, channels: int) -> Any:
    return layers.UpSampling2D(2)(_conv(x, channels, side=1))
