"""The talk's airplane detector: YOLO (arXiv:1506.02640) on a grid, with square boxes."""

from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from model.detectors.backbones import darknet, squeezenet
from model.detectors.backbones.stacked import FEATURE_STRIDE, MOMENTUM

# Side of the tiles that it is made for; predicted sizes are shares of it, whatever the input.
TILE_PX = 256
_BACKBONES = {"squeezenet": squeezenet, "darknet": darknet}


@dataclass(frozen=True, slots=True)
class GridConfig:
    """The layers of the detector, and its training targets and loss.

    Attributes:
        kind: Tells it apart from other detectors.
        backbone: The feature extractor.
        layers: Convolutions from the first to the last; the talk has 12 and 17 of `squeezenet`, 10 and 17 of `darknet`.
        grid: Cells on the side of a tile of 256 px; so a cell is 256 / grid px wide.
        boxes: Boxes of a cell, its slots.
        cell_grow: How far a box's centre may be from that of its cell, in half cells, on each axis.
        assignment: Which cells an airplane is assigned to, see `model.detectors.grid.assignment`.
        spatial_dropout: Share of channels dropped after each module of the backbone in training.
        loss_weights: Of plane or not, position and size; their sum does not matter.
    """

    kind: Literal["grid"] = "grid"
    backbone: Literal["squeezenet", "darknet"] = "squeezenet"
    layers: int = 12
    grid: Literal[4, 8, 16] = 16
    boxes: Literal[1, 2, 4] = 2
    cell_grow: float = 1.3
    assignment: Literal["swarm", "plain"] = "swarm"
    spatial_dropout: float = 0.0
    loss_weights: tuple[float, float, float] = (1.0, 3.0, 30.0)

    def __post_init__(self) -> None:
        min_layers = _BACKBONES[self.backbone].MIN_LAYERS
        if self.layers < min_layers:
            raise ValueError(f"layers: expected {min_layers} or more for {self.backbone}, got {self.layers}")
        if not 1 <= self.cell_grow < float("inf"):
            raise ValueError(f"cell_grow: expected a number from 1 on, lest cells leave gaps, got {self.cell_grow}")
        if not 0 <= self.spatial_dropout < 1:
            raise ValueError(f"spatial_dropout: expected a number from 0 on and below 1, got {self.spatial_dropout}")
        if not (min(self.loss_weights) >= 0 and 0 < sum(self.loss_weights) < float("inf")):
            raise ValueError(f"loss_weights: expected numbers from 0 on, not all 0, got {self.loss_weights}")

    @property
    def cell_px(self) -> int:
        """Side of a cell in pixels."""
        return TILE_PX // self.grid


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
