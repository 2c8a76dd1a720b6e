"""Raw cells to boxes in tile pixels and scores, in operations that every Keras backend has."""

from typing import Any

from keras import ops

from model.detectors.anchor_free.network import OUTPUT_STRIDE

# exp(6) cells are 3,000 pixels: no airplane is larger, and no float overflows.
_MAX_LOG_DISTANCE = 6.0


def boxes(cells: Any) -> Any:
    """Decode the boxes of cells.

    Args:
        cells: Raw cells (B, h, w, 5), see `model.detectors.anchor_free.network.build`.

    Returns:
        (B, h, w, 4): xmin, ymin, xmax, ymax in pixels of the tile, corner origin, not clipped to the tile.
    """
    height, width = ops.shape(cells)[1:3]
    x = (ops.cast(ops.arange(width), "float32") + 0.5)[None, None, :]
    y = (ops.cast(ops.arange(height), "float32") + 0.5)[None, :, None]
    left, top, right, bottom = (ops.exp(ops.minimum(cells[..., i], _MAX_LOG_DISTANCE)) for i in range(1, 5))
    return ops.stack([x - left, y - top, x + right, y + bottom], axis=-1) * OUTPUT_STRIDE


def scores(cells: Any) -> Any:
    """Return the objectness (B, h, w), 0..1, of raw cells (B, h, w, 5)."""
    return ops.sigmoid(cells[..., 0])
