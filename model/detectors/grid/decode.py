"""Raw cells of the detector on a grid to boxes in tile pixels, with operations that every Keras backend has."""

from typing import Any, Final

from keras import ops

from model.detectors.config import TILE_PX, GridConfig

# Channels of a raw cell's box.
POSITION: Final = slice(0, 2)
SIZE: Final = 2
LOGITS: Final = slice(3, 5)


def boxes(cells: Any, config: GridConfig) -> Any:
    """Decode the boxes of cells.

    Args:
        cells: Raw cells (B, h, w, boxes, 5), see `model.detectors.grid.network.build`.
        config: Of the detector.

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


def scores(cells: Any) -> Any:
    """Return the score of each box (B, h, w, boxes), 0..1, from raw cells (B, h, w, boxes, 5)."""
    return ops.softmax(cells[..., LOGITS], axis=-1)[..., 1]


def offsets(cells: Any, cell_grow: float) -> Any:
    """Return offsets of centres from those of cells (B, h, w, boxes, 2): x, y in half cells, up to `cell_grow`."""
    return ops.tanh(cells[..., POSITION]) * cell_grow


def sizes(cells: Any) -> Any:
    """Return the sides of the squares (B, h, w, boxes) as shares of 256 px, 0..1."""
    return ops.sigmoid(cells[..., SIZE])
