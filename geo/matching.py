"""The same airplane in two lists: what was found against the truth."""

import numpy as np

from geo.boxes import box_tree, iou_matrix, score_order
from geo.types import FloatArray, IndexArray


def match(boxes: FloatArray, scores: FloatArray, truth: FloatArray, iou: float) -> IndexArray:
    """Pairs detections with true boxes: the highest score chooses first, each true box is taken once.

    Args:
        boxes: (N, 4) detections.
        scores: (N,); equal scores choose in the order of their coordinates.
        truth: (M, 4) true boxes of the same frame.
        iou: The least intersection over union of a pair, 0..1.

    Returns:
        (N,) for each detection, in the input's order, the position of the true box it takes (the free one it overlaps
        most), or -1.
    """
    taken = np.zeros(len(truth), dtype=bool)
    result = np.full(len(boxes), -1, dtype=np.int64)
    tree, queries = box_tree(truth), box_tree(boxes).geometries
    for index in score_order(boxes, scores):
        near = np.sort(tree.query(queries[index]))
        near = near[~taken[near]]
        overlaps = iou_matrix(boxes[index : index + 1], truth[near])[0]
        if len(near) and overlaps.max() >= iou:
            chosen = near[overlaps.argmax()]
            taken[chosen] = True
            result[index] = chosen
    return result
