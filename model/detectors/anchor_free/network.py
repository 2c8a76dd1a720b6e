"""The anchor-free detector: backbone, neck and head, and the decoding of its cells."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from model.detectors import backbones
from model.detectors.backbones import conv_norm
from model.detectors.config import DetectorConfig

OUTPUT_STRIDE = 4
# Objectness of an untrained detector: one cell in a hundred.
_PRIOR = 0.01
# Of the last kernel: so small that at first the bias decides everywhere (as in RetinaNet, arXiv:1708.02002, 4.1).
_INITIAL_STDDEV = 0.01
# exp(6) cells are 3,000 pixels: no airplane is larger, and no float overflows.
_MAX_LOG_DISTANCE = 6.0


def build(config: DetectorConfig, *, folded: bool = False) -> keras.Model:
    """Build the detector with random weights.

    Args:
        config: its layers.
        folded: whether normalisation is folded into the convolutions, for inference.

    Returns:
        A model from pixels (B, H, W, 3), 0..255, H and W multiples of 32, to raw cells (B, H/4, W/4, 5): the logit
        of objectness, and the logarithms of the distances from the cell's centre to the box's left, top, right and
        bottom sides, in cells.
    """
    pixels = keras.Input((None, None, 3), name="pixels")
    features = backbones.efficientnet_features(
        layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(pixels), folded=folded
    )
    conv = functools.partial(_conv, channels=config.channels, folded=folded)
    x = _neck(features, conv)
    for number in range(2):
        x = conv(x, f"head_{number}", kernel=3)
    # Not a constant of the module: an initializer takes its seed when it is made.
    kernel_initializer = keras.initializers.RandomNormal(stddev=_INITIAL_STDDEV)
    # The head works at stride 8; each of its positions gives two by two cells of stride 4.
    cells = layers.Conv2DTranspose(
        5,
        2,
        strides=2,
        kernel_initializer=kernel_initializer,
        bias_initializer=_initial_bias,
        dtype="float32",
        name="cells",
    )(x)
    return keras.Model(pixels, cells, name="detector")


def _initial_bias(shape: tuple[int, ...], dtype: str | None = None) -> Any:  # noqa: ARG001  # the form Keras asks for
    """Return the bias of an untrained detector: low scores, and boxes some ten cells wide."""
    return ops.convert_to_tensor([np.log(_PRIOR / (1 - _PRIOR)), 1.6, 1.6, 1.6, 1.6], dtype)


def _neck(features: dict[int, Any], conv: Callable[..., Any]) -> Any:
    """Merge all features at stride 8: coarser ones enlarged (FPN, arXiv:1612.03144, section 3), finer ones reduced."""
    x = conv(features[32], "lateral_32")
    for stride in (16, 8):
        x = layers.UpSampling2D(2, name=f"enlarged_{stride}")(x)
        x = layers.Add(name=f"merged_{stride}")([x, conv(features[stride], f"lateral_{stride}")])
    return layers.Add(name="merged_4")([x, conv(features[4], "lateral_4", kernel=2, strides=2)])


def _conv(x: Any, name: str, *, channels: int, folded: bool, kernel: int = 1, strides: int = 1) -> Any:
    x = conv_norm(
        x,
        layers.Conv2D,
        f"{name}_conv",
        folded=folded,
        filters=channels,
        kernel_size=kernel,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
    )
    return layers.ReLU(name=f"{name}_relu")(x)


def decode_boxes(cells: Any) -> Any:
    """Decode the boxes of cells.

    Args:
        cells: raw cells (B, h, w, 5), see `build`.

    Returns:
        (B, h, w, 4): xmin, ymin, xmax, ymax in pixels of the tile, corner origin, not clipped to the tile.
    """
    height, width = ops.shape(cells)[1:3]
    x = (ops.cast(ops.arange(width), "float32") + 0.5)[None, None, :]
    y = (ops.cast(ops.arange(height), "float32") + 0.5)[None, :, None]
    left, top, right, bottom = (ops.exp(ops.minimum(cells[..., i], _MAX_LOG_DISTANCE)) for i in range(1, 5))
    return ops.stack([x - left, y - top, x + right, y + bottom], axis=-1) * OUTPUT_STRIDE


def decode_scores(cells: Any) -> Any:
    """Return the objectness (B, h, w), 0..1, of raw cells (B, h, w, 5)."""
    return ops.sigmoid(cells[..., 0])
