"""The talk's airplane detector: YOLO (arXiv:1506.02640) on a grid, with square boxes."""

from typing import Any

import keras
from keras import layers, ops

from model.detectors.backbones import darknet, squeezenet
from model.detectors.backbones.stacked import FEATURE_STRIDE, MOMENTUM
from model.detectors.config import GridConfig

_BACKBONES = {"squeezenet": squeezenet, "darknet": darknet}


def build(config: GridConfig) -> keras.Model:
    """Build the detector with random weights.

    Returns:
        A model from pixels (B, H, W, 3), 0..255, of any height and width, to raw cells (B, h, w, boxes, 5): x and y
        before tanh, size before the logistic function, and the logits of no plane and plane, see
        `model.detectors.grid.decode`. There is one cell for each `cell_px` pixels; where H or W is no multiple of it,
        one more, padded with black beyond the bottom or right edge.
    """
    pixels = keras.Input((None, None, 3), name="pixels")
    x = _Padded(config.cell_px, name="padded")(pixels)
    x = layers.Rescaling(1 / 255, name="scaled")(x)
    x = _BACKBONES[config.backbone].features(x, config.layers, config.spatial_dropout)
    return keras.Model(pixels, _head(x, config), name="grid_detector")


class _Padded(layers.Layer):  # type: ignore[misc]  # Keras publishes no types
    """Pad with black at the bottom and on the right, up to multiples of a number of pixels."""

    def __init__(self, multiple: int, name: str) -> None:
        super().__init__(name=name)
        self.multiple = multiple

    def call(self, pixels: Any) -> Any:
        """Pad (B, H, W, 3)."""
        height, width = ops.shape(pixels)[1:3]
        return ops.pad(pixels, [[0, 0], [0, -height % self.multiple], [0, -width % self.multiple], [0, 0]])


def _head(x: Any, config: GridConfig) -> Any:
    """Turn features into raw cells: the last convolution has 5 channels per box, which are averaged over a cell.

    Position and size are normalised, with a scale, so that tanh and the logistic function start where they are steep.
    """
    boxes = range(config.boxes)
    x = layers.Conv2D(5 * config.boxes, 1, dtype="float32", name="last_conv")(x)
    x = layers.AveragePooling2D(config.cell_px // FEATURE_STRIDE, dtype="float32", name="averaged")(x)
    squares, logits = x[..., : 3 * config.boxes], x[..., 3 * config.boxes :]
    squares = layers.BatchNormalization(momentum=MOMENTUM, dtype="float32", name="squares_normalised")(squares)
    slots = [ops.concatenate([squares[..., 3 * i : 3 * i + 3], logits[..., 2 * i : 2 * i + 2]], axis=-1) for i in boxes]
    return ops.stack(slots, axis=-2)
