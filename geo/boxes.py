"""Overlap of upright boxes, and the assignment of detections to ground truth.

Boxes are float64 (N, 4) rows of xmin, ymin, xmax, ymax, in pixels of one frame.
"""

from collections.abc import Sequence

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


def match(boxes: FloatArray, scores: FloatArray, truth: FloatArray, iou: float) -> IndexArray:
    """Assign detections to true boxes, greedily by falling score; each true box is assigned once.

    Args:
        boxes: (N, 4) detections.
        scores: (N,); equal scores are ordered by their coordinates.
        truth: (M, 4) true boxes of the same frame.
        iou: minimum intersection over union of a match, above 0 and at most 1.

    Returns:
        (N,), for each detection, in the input's order, the index of the true box assigned to it (of those that are free
        the one with the largest overlap), or -1.
    """
    matches: IndexArray = match_at(boxes, scores, truth, (iou,))[0]
    return matches


def match_at(boxes: FloatArray, scores: FloatArray, truth: FloatArray, ious: Sequence[float]) -> IndexArray:
    """Run `match` for K minimum overlaps, but compute the overlaps once.

    Returns:
        (K, N), one row for each of `ious`, as returned by `match`.
    """
    detection, target = box_tree(truth).query(box_tree(boxes).geometries)
    overlaps = iou_pairs(boxes[detection], truth[target])
    return match_pairs(detection, target, overlaps, score_order(boxes, scores), ious)


def match_pairs(
    detection: IndexArray, target: IndexArray, overlaps: FloatArray, order: IndexArray, ious: Sequence[float]
) -> IndexArray:
    """Run `match` for K minimum overlaps on the overlaps of any shapes.

    Args:
        detection: (P,) index of the detection of each pair that overlaps.
        target: (P,) index of its true shape.
        overlaps: (P,) intersection over union.
        order: (N,) the detections by falling score.
        ious: K minimum overlaps.

    Returns:
        (K, N), as `match_at` does.
    """
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    # The order in which pairs are considered: by the rank of the detection, then by falling overlap.
    pairs = np.lexsort((target, -overlaps, rank[detection]))
    detection, target, overlaps = detection[pairs], target[pairs], overlaps[pairs]
    return np.stack([_assign(detection[overlaps >= iou], target[overlaps >= iou], len(order)) for iou in ious])


def _assign(detections: IndexArray, targets: IndexArray, count: int) -> IndexArray:
    """Take pairs in their order if both sides are still free; (count,) target of each detection, or -1."""
    result = np.full(count, -1, dtype=np.int64)
    taken: set[int] = set()
    for detection, target in zip(detections.tolist(), targets.tolist(), strict=True):
        if result[detection] < 0 and target not in taken:
            taken.add(target)
            result[detection] = target
    return result
