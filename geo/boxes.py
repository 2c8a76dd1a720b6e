"""Upright boxes: overlap, and suppression of what was found twice.

Boxes are float64 (N, 4) rows of xmin, ymin, xmax, ymax, in pixels of one frame.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.errors import ConfigError
from geo.types import Detections, FloatArray, IndexArray

# (position of a kept box, positions of boxes near it) -> which of those it suppresses.
_Rule = Callable[[int, IndexArray], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Suppression:
    """When two boxes of one scene are one airplane.

    Args:
        iou: The largest intersection over union that two kept boxes may have, 0..1.
        containment: A smaller box of a finer level is part of a kept one if this share of it, 0..1, lies inside.

    Raises:
        ConfigError: A value is out of its range.
    """

    iou: float
    containment: float

    def __post_init__(self) -> None:
        for name in ("iou", "containment"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"suppression.{name}: expected a number from 0 to 1, got {value}: change it in the config"
                )


def area(boxes: FloatArray) -> FloatArray:
    """Returns the area of each box, (N,), in square pixels; 0 for a box turned inside out."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Returns the shared area of boxes (..., 4) and (..., 4), broadcast."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    return area(np.concatenate([low, high], axis=-1))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Returns part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def iou_pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Returns intersection over union of boxes (..., 4) with boxes (..., 4), broadcast, 0..1."""
    shared = _intersection(a, b)
    return _ratio(shared, area(a) + area(b) - shared)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Returns intersection over union of every pair, (N, M), 0..1."""
    return iou_pairs(a[:, None], b[None])


def iom_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Returns intersection over the smaller box of every pair, (N, M), 0..1."""
    shared = _intersection(a[:, None], b[None])
    return _ratio(shared, np.minimum(area(a)[:, None], area(b)[None]))


def score_order(boxes: FloatArray, scores: FloatArray) -> IndexArray:
    """Returns positions by falling score; equal scores by coordinates, so that the input's order never matters."""
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores)).astype(np.int64)


def box_tree(boxes: FloatArray) -> shapely.STRtree:
    """Returns a spatial index of the boxes; its queries give positions of boxes that touch."""
    return shapely.STRtree(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))


def _greedy(boxes: FloatArray, scores: FloatArray, suppresses: _Rule) -> IndexArray:
    """Walks down the scores: each box not yet suppressed is kept and suppresses others by the rule."""
    tree = box_tree(boxes)
    pending = np.ones(len(boxes), dtype=bool)
    kept = []
    for index in score_order(boxes, scores):
        if not pending[index]:
            continue
        kept.append(index)
        pending[index] = False
        near = tree.query(tree.geometries[index])
        near = near[pending[near]]
        pending[near[suppresses(int(index), near)]] = False
    return np.array(kept, dtype=np.int64)


def suppress(boxes: FloatArray, scores: FloatArray, iou: float) -> IndexArray:
    """Greedy suppression: the highest score first, and nothing that overlaps a kept box by more than `iou`.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou: The largest intersection over union that two kept boxes may have, 0..1.

    Returns:
        Positions of the kept boxes by falling score; the kept boxes do not depend on the input's order.
    """
    return _greedy(boxes, scores, lambda kept, near: iou_matrix(boxes[kept : kept + 1], boxes[near])[0] > iou)


def average(boxes: FloatArray, kept: IndexArray, iou: float) -> FloatArray:
    """The mean of each kept box and of all boxes that say nearly the same (after box voting, arXiv:1505.01749, 3.3).

    All weigh the same: so the mean does not hang on what scores mean, and on dev it fitted as well as any other.

    Args:
        boxes: (N, 4).
        kept: (K,) positions of the boxes to be averaged.
        iou: boxes that overlap a kept one by this much or more, 0..1, say nearly the same.

    Returns:
        (K, 4); as the kept boxes, it does not depend on the input's order.
    """
    order = np.lexsort(boxes.T)
    boxes, kept = boxes[order], np.argsort(order)[kept]
    tree = box_tree(boxes)
    pairs = tree.query(tree.geometries[kept])
    # In one order, since sums depend on it in their last bits.
    of, near = pairs[:, np.lexsort(pairs)]
    # A box without an area overlaps nothing, not even itself.
    same = (iou_pairs(boxes[kept[of]], boxes[near]) >= iou) | (kept[of] == near)
    of, near = of[same], near[same]
    sums = [np.bincount(of, boxes[near, side], len(kept)) for side in range(4)]
    return np.stack(sums, axis=-1) / np.bincount(of, minlength=len(kept))[:, None]


def round_detections(detections: Detections) -> Detections:
    """Rounds boxes to 0.01 pixel and scores to 0.000001, so that noise in the last bits changes nothing after it.

    Not more than that: probabilities crowd near 1, where the order of detections would be lost.
    """
    # Adding 0 turns a rounded -0.0 into 0.0, which prints and hashes alike.
    boxes = np.round(detections.boxes, 2) + 0.0
    return Detections(boxes, np.round(detections.scores, 6), detections.resolution_m)


def merge_levels(detections: Detections, suppression: Suppression) -> Detections:
    """Leaves one detection for each airplane out of all tiles and levels of one scene.

    Greedy, the highest score first. A kept box suppresses boxes that overlap it by more than `suppression.iou`; and of
    the finer levels also smaller boxes that lie inside it by at least `suppression.containment` of their area: parts
    of a whole that only the coarser level could see. A small box never suppresses the larger one around it this way.

    Args:
        detections: In scene pixels.
        suppression: When two boxes are one airplane.

    Returns:
        The kept detections, rounded, by falling score and then by coordinates.
    """
    # Finer first, which decides between detections that are equal but for their level.
    rounded = round_detections(detections.take(np.argsort(detections.resolution_m, kind="stable")))
    boxes, resolution_m, areas = rounded.boxes, rounded.resolution_m, area(rounded.boxes)

    def suppresses(kept: int, near: IndexArray) -> NDArray[np.bool_]:
        whole, others = boxes[kept : kept + 1], boxes[near]
        part = (resolution_m[near] < resolution_m[kept]) & (areas[near] < areas[kept])
        inside = iom_matrix(whole, others)[0] >= suppression.containment
        same = iou_matrix(whole, others)[0] > suppression.iou
        return np.asarray(same | (part & inside))

    return rounded.take(_greedy(boxes, rounded.scores, suppresses))
