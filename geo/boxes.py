"""Overlap of upright boxes.

Boxes are float64 (N, 4) rows of xmin, ymin, xmax, ymax, in pixels of one frame.
"""

import numpy as np
import shapely

from geo.types import FloatArray, IndexArray


def area(boxes: FloatArray) -> FloatArray:
    """Return the area of each box, (N,), in square pixels; 0 for inverted boxes."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection area of boxes (..., 4) and (..., 4), broadcast."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    return area(np.concatenate([low, high], axis=-1))


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def iou_pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over union of boxes (..., 4) with boxes (..., 4), broadcast, 0..1."""
    shared = _intersection(a, b)
    return _ratio(shared, area(a) + area(b) - shared)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over union of all pairs, (N, M), 0..1."""
    return iou_pairs(a[:, None], b[None])


def iom_pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over the smaller area of boxes (..., 4) with boxes (..., 4), broadcast, 0..1."""
    return _ratio(_intersection(a, b), np.minimum(area(a), area(b)))


def iom_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over the smaller area of all pairs, (N, M), 0..1."""
    return iom_pairs(a[:, None], b[None])


def score_order(boxes: FloatArray, scores: FloatArray) -> IndexArray:
    """Return indices by falling score, equal scores by coordinates, whatever the order of the input."""
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores)).astype(np.int64)


def box_tree(boxes: FloatArray) -> shapely.STRtree:
    """Return a spatial index of the boxes, whose queries return the indices of touching boxes."""
    return shapely.STRtree(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))
