"""Raw cells to boxes in tile pixels, and these to one detection per airplane.

Functions of cells use operations that every Keras backend has.
"""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from geo.boxes import average, suppress
from geo.types import Detections
from model.detectors.anchor_free.network import OUTPUT_STRIDE

# Boxes of one airplane overlap by more than this; boxes of two airplanes in one tile by less.
_TILE_IOU = 0.5
# A cell's box takes part in the average if it overlaps the highest-scoring one by this much.
_VOTE_IOU = 0.6
# Cells below this score do not take part in it.
MIN_VOTE = 0.01
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


def tile_detections(boxes: NDArray[Any], scores: NDArray[Any], min_score: float, min_vote: float) -> Detections:
    """Reduce the boxes of all cells of one image to one detection per airplane.

    The highest-scoring cell gives the score; the box is the mean of the boxes that overlap its own, which is nearer to
    the truth than any single one (box voting).

    Args:
        boxes: (..., 4) in pixels of the image.
        scores: (...), 0..1.
        min_score: Detections below it are left out.
        min_vote: Cells from this score on take part in the mean: lower than `min_score`, so that boxes do not depend
            on the threshold.
    """
    candidates = scores >= min(min_score, min_vote)
    boxes, scores = boxes[candidates].astype(np.float64), scores[candidates].astype(np.float64)
    kept = suppress(boxes, scores, _TILE_IOU)
    kept = kept[scores[kept] >= min_score]
    return Detections(average(boxes, kept, _VOTE_IOU), scores[kept], np.full(len(kept), np.nan))
