"""Leaves one detection for each airplane of a scene: in one pass, or in parts that give the same.

Greedy suppression never crosses the connected components of the graph in which boxes are joined that would suppress one
another. So a component that lies within one block of the scene is settled there; the few that cross an edge between
blocks are settled in one last pass.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geo.boxes import (
    Pairs,
    Rule,
    Suppression,
    area,
    concatenate,
    greedy,
    iom_pairs,
    iou_pairs,
    of_kept,
    overlapping,
    round_detections,
    score_order,
    walk,
)
from geo.types import Detections, FloatArray, IndexArray

# A detection has no say in a box if its score lies this much or more below that box's own. Down to there its weight
# falls linearly: so no box jumps where a threshold takes a detection away or lets one in. Chosen on dev.
_SCORE_RANGE = 0.3


class Block(NamedTuple):
    """A square of a scene: its row and column among such squares, and its side in scene pixels."""

    row: int
    col: int
    side_px: int


class Settled(NamedTuple):
    """What one block knows: detections that stay, whatever lies in others, and those that it has to leave open."""

    kept: Detections
    open: Detections


def merge_levels(detections: Detections, suppression: Suppression) -> Detections:
    """Leaves one detection for each airplane out of all tiles and levels of one scene.

    Greedy, the highest score first. A kept box suppresses boxes that overlap it by more than `suppression.iou`; and of
    the finer levels also smaller boxes that lie inside it by at least `suppression.containment` of their area: parts
    of a whole that only the coarser level could see. A small box never suppresses the larger one around it this way.

    A kept detection keeps its score; its box becomes the mean of what overlaps by more than `suppression.iou`, see
    `_agreed`: where two levels see an airplane almost equally well, the last digit of a pixel does not move the box.

    Args:
        detections: In scene pixels.
        suppression: When two boxes are one airplane.

    Returns:
        The kept detections, rounded, by falling score and then by coordinates.
    """
    ranked = _ranked(detections)
    kept, suppressed = greedy(ranked.boxes, _rule(ranked, suppression))
    return _ranked(_agreed(ranked, kept, suppressed, suppression.iou))


def by_block(detections: Detections, side_px: int) -> Iterator[tuple[Block, Detections]]:
    """Yields the blocks of a scene that detections (scene pixels) touch, each with all that touch it."""
    rounded = round_detections(detections)
    first, last = _corners(rounded.boxes, side_px)
    places: dict[Block, list[int]] = {}
    for number, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for row in range(low[1], high[1] + 1):
            for col in range(low[0], high[0] + 1):
                places.setdefault(Block(row, col, side_px), []).append(number)
    for block, numbers in places.items():
        yield block, rounded.take(np.array(numbers))


def settle(block: Block, detections: Detections, suppression: Suppression) -> Settled:
    """Merges what can be merged within one block.

    Args:
        block: The block.
        detections: All of the scene that touch it, in whatever order; see `by_block`.
        suppression: When two boxes are one airplane.
    """
    ranked = _ranked(detections)
    pairs = concatenate(list(overlapping(ranked.boxes, _rule(ranked, suppression), np.ones(len(ranked), np.bool_))))
    first, last = _corners(ranked.boxes, block.side_px)
    crossing = (first != last).any(axis=1)
    left_open = _of_components(crossing, pairs)
    # Each box of an open component comes from one block alone, that of its upper left corner.
    owned = (first == [block.col, block.row]).all(axis=1)
    kept = bytearray(b"\1" * len(ranked))
    walk(kept, pairs)
    stays = np.frombuffer(kept, np.bool_) & ~left_open
    agreed = _agreed(ranked, np.flatnonzero(stays), of_kept(stays, pairs), suppression.iou)
    return Settled(round_detections(agreed), ranked.take(np.flatnonzero(left_open & owned)))


def join(parts: Iterable[Settled], suppression: Suppression) -> Detections:
    """Brings the blocks of a scene together: what `merge_levels` gives of all its detections."""
    parts = list(parts)
    crossing = merge_levels(Detections.concatenate([part.open for part in parts]), suppression)
    return _ranked(Detections.concatenate([crossing, *(part.kept for part in parts)]))


def _ranked(detections: Detections) -> Detections:
    """Rounds detections and puts them in the order in which they are looked at."""
    # Finer first, which decides between detections that are equal but for their level.
    rounded = round_detections(detections.take(np.argsort(detections.resolution_m, kind="stable")))
    return rounded.take(score_order(rounded.boxes, rounded.scores))


def _rule(ranked: Detections, suppression: Suppression) -> Rule:
    """Returns which of two detections, the earlier one kept, suppresses the later one."""
    boxes, resolution_m, areas = ranked.boxes, ranked.resolution_m, area(ranked.boxes)

    def suppresses(earlier: IndexArray, later: IndexArray) -> NDArray[np.bool_]:
        whole, other = boxes[earlier], boxes[later]
        part = (resolution_m[later] < resolution_m[earlier]) & (areas[later] < areas[earlier])
        same = iou_pairs(whole, other) > suppression.iou
        return np.asarray(same | (part & (iom_pairs(whole, other) >= suppression.containment)))

    return suppresses


def _agreed(ranked: Detections, kept: IndexArray, suppressed: Pairs, iou: float) -> Detections:
    """Returns the kept detections, each with the box that it and those that it suppresses by overlap agree on.

    The mean over levels, each weighing as its pixels are fine (a box is off by about as many pixels on every level) and
    as its score is near. A level counts once: what two tiles of it saw at a seam is brought to one box first.

    Args:
        ranked: In the order of `_ranked`.
        kept: (K,) rising positions of the kept ones.
        suppressed: The kept ones with those that they suppress.
        iou: Boxes that overlap more are one airplane, 0..1; those of parts do not count.
    """
    boxes, scores = ranked.boxes, ranked.scores
    same = iou_pairs(boxes[suppressed.earlier], boxes[suppressed.later]) > iou
    one = np.concatenate([kept, suppressed.earlier[same]])
    other = np.concatenate([kept, suppressed.later[same]])
    weights = 1 - (scores[one] - scores[other]) / _SCORE_RANGE
    order = np.lexsort((other, one))  # sums depend on the order in their last bits
    order = order[weights[order] > 0]
    one, other, weights = one[order], other[order], weights[order]
    of = np.searchsorted(kept, one)
    levels_m, level = np.unique(ranked.resolution_m[other], return_inverse=True)
    group = of * len(levels_m) + level
    most = np.zeros(len(kept) * len(levels_m))
    np.maximum.at(most, group, weights)
    weights *= most[group] / np.bincount(group, weights, len(most))[group]
    weights /= np.where(np.isnan(levels_m), 1.0, levels_m)[level]
    sums = [np.bincount(of, weights * boxes[other, side], len(kept)) for side in range(4)]
    means = np.stack(sums, axis=-1) / np.bincount(of, weights, len(kept))[:, None]
    return Detections(means, scores[kept], ranked.resolution_m[kept])


def _corners(boxes: FloatArray, side_px: int) -> tuple[IndexArray, IndexArray]:
    """Returns column and row of the blocks in which boxes begin and end, (N, 2) each; edges belong to both sides."""
    first = np.ceil(boxes[:, :2] / side_px).astype(np.int64) - 1
    last = np.floor(boxes[:, 2:] / side_px).astype(np.int64)
    return first, np.maximum(first, last)


def _of_components(marked: NDArray[np.bool_], pairs: Pairs) -> NDArray[np.bool_]:
    """Returns which of N nodes are connected to a marked one, or marked, (N,)."""
    count = len(marked)
    edges = coo_array((np.ones(len(pairs.earlier), np.bool_), (pairs.earlier, pairs.later)), shape=(count, count))
    number, component = connected_components(edges, directed=False)
    hit = np.zeros(number, np.bool_)
    hit[component[marked]] = True
    return np.asarray(hit[component])
