"""Raw cells of the detector to boxes in tile pixels, and these to one detection for each airplane.

What works on cells does so in operations that every Keras backend has.
"""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from geo.boxes import average, suppress
from geo.types import Detections
from model.detectors.anchor_free.network import OUTPUT_STRIDE

# Two cells that answer for one airplane overlap by more than this; two airplanes of one tile by less.
_TILE_IOU = 0.5
# Cells agree on a box if theirs overlap the surest one's by this much.
_AGREED_IOU = 0.6
# Cells of which an airplane is less likely than this have no say in that.
LEAST_VOTE = 0.01
# exp(6) cells are 3,000 pixels: no airplane is larger, and no float overflows.
_MAX_LOG_DISTANCE = 6.0


def boxes(cells: Any) -> Any:
    """Boxes that cells describe.

    Args:
        cells: raw cells (B, h, w, 5), see `model.detectors.anchor_free.network.build`.

    Returns:
        (B, h, w, 4): xmin, ymin, xmax, ymax in pixels of the tile, corner origin, not clipped to the tile.
    """
    height, width = ops.shape(cells)[1:3]
    x = (ops.cast(ops.arange(width), "float32") + 0.5)[None, None, :]
    y = (ops.cast(ops.arange(height), "float32") + 0.5)[None, :, None]
    left, top, right, bottom = (ops.exp(ops.minimum(cells[..., i], _MAX_LOG_DISTANCE)) for i in range(1, 5))
    return ops.stack([x - left, y - top, x + right, y + bottom], axis=-1) * OUTPUT_STRIDE


def scores(cells: Any) -> Any:
    """Objectness (B, h, w), 0..1, of raw cells (B, h, w, 5)."""
    return ops.sigmoid(cells[..., 0])


def tile_detections(boxes: NDArray[Any], scores: NDArray[Any], min_score: float, least_vote: float) -> Detections:
    """One detection for each airplane out of all cells of one picture.

    The surest cell gives the score; the box is the mean of what cells agree on, which is nearer to the truth than any.

    Args:
        boxes: (..., 4) in its pixels.
        scores: (...), 0..1.
        min_score: detections below it are left out.
        least_vote: cells from this score on have their say on a box: lower than the threshold, so that boxes do not
            hang on it.
    """
    chosen = scores >= min(min_score, least_vote)
    boxes, scores = boxes[chosen].astype(np.float64), scores[chosen].astype(np.float64)
    kept = suppress(boxes, scores, _TILE_IOU)
    kept = kept[scores[kept] >= min_score]
    return Detections(average(boxes, kept, _AGREED_IOU), scores[kept], np.full(len(kept), np.nan))
