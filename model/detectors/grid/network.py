"""The talk's airplane detector: YOLO (arXiv:1506.02640) on a grid, with square boxes, and the decoding of its cells."""

from typing import Any, Final

import keras
from keras import layers, ops

from model.detectors.backbones import FEATURE_STRIDE, MOMENTUM, darknet_features, squeezenet_features
from model.detectors.config import TILE_PX, GridConfig

# Channels of a raw cell.
POSITION: Final = slice(0, 2)
SIZE: Final = 2
LOGITS: Final = slice(3, 5)

_BACKBONES = {"squeezenet": squeezenet_features, "darknet": darknet_features}


def build(config: GridConfig) -> keras.Model:
    """Build the detector with random weights.

    Returns:
        A model from pixels (B, H, W, 3), 0..255, of any height and width, to raw cells (B, h, w, boxes, 5): x and y
        before tanh, size before the logistic function, and the logits of no plane and plane, see
        `decode_boxes`. There is one cell for each `cell_px` pixels; where H or W is no multiple of it,
        one more, padded with black beyond the bottom or right edge.
    """
    pixels = keras.Input((None, None, 3), name="pixels")
    x = _Padded(config.cell_px, name="padded")(pixels)
    x = layers.Rescaling(1 / 255, name="scaled")(x)
    x = _BACKBONES[config.backbone](x, config.layers, config.spatial_dropout)
    return keras.Model(pixels, _head(x, config), name="grid_detector")


class _Padded(layers.Layer):  # type: ignore[misc]  # Keras publishes no types
    """Pad with black at the bottom and on the right, up to multiples of a number of pixels."""

    def __init__(self, multiple: int, name: str) -> None:
        super().__init__(name=name)
        self.multiple = multiple

    def call(self, pixels: Any) -> Any:
        """Pad (B, H, W, 3)."""
        height, width = ops.shape(pixels)[1:3]
        below, beside = -height % self.multiple, -width % self.multiple
        padded = ops.pad(pixels, [[0, 0], [0, below], [0, beside], [0, 0]])
        # Padding by a number that is computed loses the number of channels, and LiteRT has no convolution without.
        return ops.reshape(padded, (-1, height + below, width + beside, pixels.shape[-1]))


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


def decode_boxes(cells: Any, config: GridConfig) -> Any:
    """Decode the boxes of cells.

    Args:
        cells: raw cells (B, h, w, boxes, 5), see `build`.
        config: config of the detector.

    Returns:
        (B, h, w, boxes, 4): xmin, ymin, xmax, ymax of squares, in pixels of the tile, corner origin, not clipped to it.
    """
    height, width = ops.shape(cells)[1:3]
    cols = ops.cast(ops.arange(width), "float32")[None, None, :, None]
    rows = ops.cast(ops.arange(height), "float32")[None, :, None, None]
    offset = offsets(cells, config.cell_grow)
    x = (cols + 0.5 + offset[..., 0] / 2) * config.cell_px
    y = (rows + 0.5 + offset[..., 1] / 2) * config.cell_px
    half = sizes(cells) * TILE_PX / 2
    return ops.stack([x - half, y - half, x + half, y + half], axis=-1)


def decode_scores(cells: Any) -> Any:
    """Return the score of each box (B, h, w, boxes), 0..1, from raw cells (B, h, w, boxes, 5)."""
    return ops.softmax(cells[..., LOGITS], axis=-1)[..., 1]


def offsets(cells: Any, cell_grow: float) -> Any:
    """Return offsets of centres from those of cells (B, h, w, boxes, 2): x, y in half cells, up to `cell_grow`."""
    return ops.tanh(cells[..., POSITION]) * cell_grow


def sizes(cells: Any) -> Any:
    """Return the sides of the squares (B, h, w, boxes) as shares of 256 px, 0..1."""
    return ops.sigmoid(cells[..., SIZE])
