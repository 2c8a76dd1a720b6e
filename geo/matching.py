"""The same airplane in two lists: what was found against the truth."""

from collections.abc import Sequence

import numpy as np

from geo.boxes import box_tree, iou_pairs, score_order
from geo.types import FloatArray, IndexArray


def match(boxes: FloatArray, scores: FloatArray, truth: FloatArray, iou: float) -> IndexArray:
    """Pairs detections with true boxes: the highest score chooses first, each true box is taken once.

    Args:
        boxes: (N, 4) detections.
        scores: (N,); equal scores choose in the order of their coordinates.
        truth: (M, 4) true boxes of the same frame.
        iou: The least intersection over union of a pair, 0..1, and above 0.

    Returns:
        (N,) for each detection, in the input's order, the position of the true box it takes (the free one it overlaps
        most), or -1.
    """
    pairs: IndexArray = match_at(boxes, scores, truth, (iou,))[0]
    return pairs


def match_at(boxes: FloatArray, scores: FloatArray, truth: FloatArray, ious: Sequence[float]) -> IndexArray:
    """Does what `match` does for K least overlaps; every overlap is computed once.

    Returns:
        (K, N), a row as `match` returns it for each of `ious`.
    """
    found, true = box_tree(truth).query(box_tree(boxes).geometries)
    overlaps = iou_pairs(boxes[found], truth[true])
    rank = np.empty(len(boxes), dtype=np.int64)
    rank[score_order(boxes, scores)] = np.arange(len(boxes))
    # The order in which pairs are made: detections by rank, and each asks first for what it overlaps most.
    order = np.lexsort((true, -overlaps, rank[found]))
    found, true, overlaps = found[order], true[order], overlaps[order]
    return np.stack([_paired(found[overlaps >= iou], true[overlaps >= iou], len(boxes)) for iou in ious])


def _paired(found: IndexArray, true: IndexArray, count: int) -> IndexArray:
    """Goes through candidate pairs and makes those of which both are still free; (count,), -1 where there is none."""
    result = np.full(count, -1, dtype=np.int64)
    taken: set[int] = set()
    for one, other in zip(found.tolist(), true.tolist(), strict=True):
        if result[one] < 0 and other not in taken:
            taken.add(other)
            result[one] = other
    return result
