"""Assignment of detections to ground truth."""

from collections.abc import Sequence

import numpy as np

from geo.boxes import box_tree, iou_pairs, score_order
from geo.types import FloatArray, IndexArray


def match(boxes: FloatArray, scores: FloatArray, truth: FloatArray, iou: float) -> IndexArray:
    """Assign detections to true boxes, greedily by falling score; each true box is assigned once.

    Args:
        boxes: (N, 4) detections.
        scores: (N,); equal scores are ordered by their coordinates.
        truth: (M, 4) true boxes of the same frame.
        iou: Minimum intersection over union of a match, above 0 and at most 1.

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
    rank = np.empty(len(boxes), dtype=np.int64)
    rank[score_order(boxes, scores)] = np.arange(len(boxes))
    # The order in which pairs are considered: by the rank of the detection, then by falling overlap.
    order = np.lexsort((target, -overlaps, rank[detection]))
    detection, target, overlaps = detection[order], target[order], overlaps[order]
    return np.stack([_assign(detection[overlaps >= iou], target[overlaps >= iou], len(boxes)) for iou in ious])


def _assign(detections: IndexArray, targets: IndexArray, count: int) -> IndexArray:
    """Take pairs in their order if both sides are still free; (count,) target of each detection, or -1."""
    result = np.full(count, -1, dtype=np.int64)
    taken: set[int] = set()
    for detection, target in zip(detections.tolist(), targets.tolist(), strict=True):
        if result[detection] < 0 and target not in taken:
            taken.add(target)
            result[detection] = target
    return result
