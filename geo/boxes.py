"""Upright boxes: overlap, and suppression of what was found twice.

Boxes are float64 (N, 4) rows of xmin, ymin, xmax, ymax, in pixels of one frame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.errors import ConfigError
from geo.types import Detections, FloatArray, IndexArray

# Positions of boxes, and of others one by one -> which of the first suppress the second.
Rule = Callable[[IndexArray, IndexArray], NDArray[np.bool_]]

# Boxes that are asked for their neighbours at once.
_CHUNK = 500


class Pairs(NamedTuple):
    """Positions of boxes, one pair a row: the earlier one suppresses the later one. By the earlier one, (M,) each."""

    earlier: IndexArray
    later: IndexArray


NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Suppression:
    """Thresholds of suppression: when two boxes of a scene are the same airplane.

    Args:
        iou: Maximum intersection over union of two kept boxes, 0..1.
        containment: A smaller box of a finer level is part of a kept one if at least this fraction of it lies inside.

    Raises:
        ConfigError: A value is out of range.
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
    """Return indices by falling score, equal scores by coordinates: the result does not depend on the input's order."""
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores)).astype(np.int64)


def box_tree(boxes: FloatArray) -> shapely.STRtree:
    """Return a spatial index of the boxes, whose queries return the indices of touching boxes."""
    return shapely.STRtree(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))


def overlapping(boxes: FloatArray, suppresses: Rule, asked: NDArray[np.bool_]) -> Iterator[Pairs]:
    """Yields the pairs of touching boxes, of which the earlier one suppresses the later one by the rule.

    Args:
        boxes: (N, 4), the most important first.
        suppresses: The rule; it is asked for touching boxes alone.
        asked: Which boxes are asked for what they suppress, (N,); may change while pairs are taken.
    """
    tree = box_tree(boxes)
    for start in range(0, len(boxes), _CHUNK):
        numbers = start + np.flatnonzero(asked[start : start + _CHUNK])
        of, later = tree.query(tree.geometries[numbers])
        earlier = numbers[of]
        earlier, later = earlier[later > earlier], later[later > earlier]
        which = suppresses(earlier, later)
        yield Pairs(earlier[which], later[which])


def concatenate(pairs: Sequence[Pairs]) -> Pairs:
    """Returns all pairs, in their order."""
    return Pairs(*(np.concatenate(side) for side in zip(NO_PAIRS, *pairs, strict=True)))


def of_kept(kept: NDArray[np.bool_], pairs: Pairs) -> Pairs:
    """Returns the pairs whose earlier box is kept, once a walk has decided about these."""
    which = kept[pairs.earlier]
    return Pairs(pairs.earlier[which], pairs.later[which])


def walk(kept: bytearray, pairs: Pairs) -> None:
    """Goes through pairs by the earlier box: one that is kept suppresses the later one, whose byte becomes 0."""
    for earlier, later in zip(pairs.earlier.tolist(), pairs.later.tolist(), strict=True):
        if kept[earlier]:
            kept[later] = 0


def greedy(boxes: FloatArray, suppresses: Rule) -> tuple[IndexArray, Pairs]:
    """Walks down boxes (N, 4): each that is not suppressed is kept and suppresses others.

    Returns:
        Positions of the kept boxes, and each of them with those that it suppresses.
    """
    walked = bytearray(b"\1" * len(boxes))
    kept = np.frombuffer(walked, dtype=np.bool_)  # the same bytes
    found: list[Pairs] = []
    # What is suppressed is not asked any more: a heap of boxes, each over each, is not a matrix of pairs.
    for pairs in overlapping(boxes, suppresses, kept):
        walk(walked, pairs)
        found.append(of_kept(kept, pairs))
    return np.flatnonzero(kept), concatenate(found)


def suppress(boxes: FloatArray, scores: FloatArray, iou: float) -> IndexArray:
    """Greedy suppression: the highest score first, and nothing that overlaps a kept box by more than `iou`.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou: The largest intersection over union that two kept boxes may have, 0..1.

    Returns:
        Positions of the kept boxes by falling score; the kept boxes do not depend on the input's order.
    """
    order = score_order(boxes, scores)
    ranked = boxes[order]
    kept, _ = greedy(ranked, lambda one, other: iou_pairs(ranked[one], ranked[other]) > iou)
    return np.asarray(order[kept])


def average(boxes: FloatArray, kept: IndexArray, iou: float) -> FloatArray:
    """The mean of each kept box and of all boxes that say nearly the same (after box voting, arXiv:1505.01749, 3.3).

    All weigh the same: so the mean does not hang on what scores mean, and on val it fitted as well as any other.

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
