"""Non-maximum suppression: within a tile, and over tiles and levels of a scene in one pass or in chunks that equal it.

Greedy suppression never crosses connected components of the graph that joins boxes of which one would suppress the
other. So components that lie within one chunk of the scene are merged there, and the few that cross the edges of chunks
in a last pass.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.boxes import area, box_tree, iom_pairs, iou_pairs, score_order
from geo.errors import ConfigError
from geo.types import Detections, FloatArray, IndexArray

# (M,) indices of higher-ranked boxes, (M,) indices of lower-ranked ones -> (M,) whether the former suppress the latter.
Rule = Callable[[IndexArray, IndexArray], NDArray[np.bool_]]

# Boxes per query of the spatial index.
_QUERY_SIZE = 500
# Detections whose scores lie this far or farther below the kept one have weight 0 in its box. The weight falls linearly
# to there, so that no box jumps where a detection falls below the threshold. Chosen on val.
_SCORE_RANGE = 0.3


@dataclass(frozen=True, slots=True)
class Suppression:
    """Thresholds at which two boxes of a scene count as the same airplane.

    Args:
        iou: maximum intersection over union of two kept boxes, 0..1.
        containment: a smaller box of a finer level is part of a kept one if at least this fraction of it lies inside.

    Raises:
        ConfigError: a value is out of range.
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


class Pairs(NamedTuple):
    """Indices of M pairs of boxes, (M,) each, sorted by `higher`: the higher-ranked box suppresses the lower-ranked."""

    higher: IndexArray
    lower: IndexArray


class Chunk(NamedTuple):
    """A square of a scene: its row and column in the grid of such squares, and its side in scene pixels."""

    row: int
    col: int
    side_px: int


class LocalNmsResult(NamedTuple):
    """Result of a chunk: merged detections that are final, and those deferred to the pass over all chunks."""

    kept: Detections
    deferred: Detections


def suppress(boxes: FloatArray, scores: FloatArray, iou: float) -> IndexArray:
    """Run greedy non-maximum suppression.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou: maximum intersection over union of two kept boxes, 0..1.

    Returns:
        (K,) indices of the kept boxes by falling score. Which boxes are kept does not depend on the input's order.
    """
    order = score_order(boxes, scores)
    ranked = boxes[order]
    kept, _ = _greedy(ranked, lambda higher, lower: iou_pairs(ranked[higher], ranked[lower]) > iou)
    return np.asarray(order[kept])


def box_voting(boxes: FloatArray, kept: IndexArray, iou: float) -> FloatArray:
    """Average each kept box with all boxes that overlap it (box voting, arXiv:1505.01749, 3.3), with equal weights.

    Equal weights do not depend on the calibration of the scores, and fitted as well as any others on val.

    Args:
        boxes: (N, 4).
        kept: (K,) indices of the boxes to be averaged.
        iou: minimum intersection over union of a kept box and those averaged with it, 0..1.

    Returns:
        (K, 4) mean boxes; they do not depend on the input's order.
    """
    order = np.lexsort(boxes.T)
    boxes, kept = boxes[order], np.argsort(order)[kept]
    tree = box_tree(boxes)
    pairs = tree.query(tree.geometries[kept])
    # Sorted, since the last bits of a sum depend on the order.
    row, voter = pairs[:, np.lexsort(pairs)]
    # A box without area overlaps nothing, not even itself.
    votes = (iou_pairs(boxes[kept[row]], boxes[voter]) >= iou) | (kept[row] == voter)
    row, voter = row[votes], voter[votes]
    sums = [np.bincount(row, boxes[voter, side], len(kept)) for side in range(4)]
    return np.stack(sums, axis=-1) / np.bincount(row, minlength=len(kept))[:, None]


def merge_levels(detections: Detections, suppression: Suppression) -> Detections:
    """Merge the detections of all tiles and levels of a scene into one per airplane.

    Greedy, by falling score. A kept box suppresses boxes that overlap it by more than `suppression.iou`, and smaller
    boxes of finer levels of which at least the fraction `suppression.containment` lies inside it: parts of an airplane
    that only the coarser level sees whole. A small box never suppresses a larger one that contains it.

    A kept detection keeps its score; its box becomes a mean over levels, see `_average_levels`. So the box does not
    depend on which of two levels happens to score slightly higher.

    Args:
        detections: in scene pixels.
        suppression: thresholds at which two boxes are one airplane.

    Returns:
        The merged detections, rounded, by falling score and then by coordinates.
    """
    ranked = _rank(detections)
    kept, pairs = _greedy(ranked.boxes, _level_rule(ranked, suppression))
    return _rank(_average_levels(ranked, kept, pairs, suppression.iou))


def split_into_chunks(detections: Detections, side_px: int) -> Iterator[tuple[Chunk, Detections]]:
    """Yield each chunk that detections (scene pixels) touch, with all detections that touch it."""
    rounded = round_detections(detections)
    first, last = _chunk_ranges(rounded.boxes, side_px)
    indices: dict[Chunk, list[int]] = {}
    for index, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for row in range(low[1], high[1] + 1):
            for col in range(low[0], high[0] + 1):
                indices.setdefault(Chunk(row, col, side_px), []).append(index)
    for chunk, touching in indices.items():
        yield chunk, rounded.take(np.array(touching))


def local_nms(chunk: Chunk, detections: Detections, suppression: Suppression) -> LocalNmsResult:
    """Merge the detections of one chunk whose result does not depend on other chunks, and defer the others.

    Args:
        chunk: the chunk.
        detections: all detections of the scene that touch it, in any order, see `split_into_chunks`.
        suppression: thresholds at which two boxes are one airplane.
    """
    ranked = _rank(detections)
    rule, queried = _level_rule(ranked, suppression), np.ones(len(ranked), np.bool_)
    pairs = _concatenate(list(_suppressing_pairs(ranked.boxes, rule, queried)))
    first, last = _chunk_ranges(ranked.boxes, chunk.side_px)
    crossing = (first != last).any(axis=1)
    deferred = _connected_to(crossing, pairs)
    # Each deferred box is returned by one chunk alone, that of its upper left corner.
    owned = (first == [chunk.col, chunk.row]).all(axis=1)
    kept_bytes = bytearray(b"\1" * len(ranked))
    _suppress_pairs(kept_bytes, pairs)
    kept = np.frombuffer(kept_bytes, np.bool_) & ~deferred
    merged = _average_levels(ranked, np.flatnonzero(kept), _pairs_of_kept(kept, pairs), suppression.iou)
    return LocalNmsResult(round_detections(merged), ranked.take(np.flatnonzero(deferred & owned)))


def merge_local_results(results: Iterable[LocalNmsResult], suppression: Suppression) -> Detections:
    """Merge the results of all chunks of a scene; equals `merge_levels` of all its detections."""
    results = list(results)
    crossing = merge_levels(Detections.concatenate([result.deferred for result in results]), suppression)
    return _rank(Detections.concatenate([crossing, *(result.kept for result in results)]))


def round_detections(detections: Detections) -> Detections:
    """Round boxes to 0.01 pixel and scores to 0.000001, so that noise in the last bits does not change results.

    Scores are not rounded further: many lie close to 1, and their order would be lost.
    """
    # Adding 0 turns a rounded -0.0 into 0.0, which prints and hashes alike.
    boxes = np.round(detections.boxes, 2) + 0.0
    return Detections(boxes, np.round(detections.scores, 6), detections.resolution_m)


def _suppressing_pairs(boxes: FloatArray, rule: Rule, queried: NDArray[np.bool_]) -> Iterator[Pairs]:
    """Yield the pairs of touching boxes of which the higher-ranked suppresses the lower-ranked.

    Args:
        boxes: (N, 4), the highest-ranked first.
        rule: decides about pairs of touching boxes.
        queried: (N,) boxes of which pairs are wanted, as the higher-ranked; may change during the iteration.
    """
    tree = box_tree(boxes)
    for start in range(0, len(boxes), _QUERY_SIZE):
        indices = start + np.flatnonzero(queried[start : start + _QUERY_SIZE])
        query, lower = tree.query(tree.geometries[indices])
        higher = indices[query]
        higher, lower = higher[lower > higher], lower[lower > higher]
        mask = rule(higher, lower)
        yield Pairs(higher[mask], lower[mask])


def _concatenate(pairs: Sequence[Pairs]) -> Pairs:
    """Return all pairs, in their order."""
    empty = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Pairs(*(np.concatenate(column) for column in zip(empty, *pairs, strict=True)))


def _pairs_of_kept(kept: NDArray[np.bool_], pairs: Pairs) -> Pairs:
    """Return the pairs whose higher-ranked box is kept."""
    mask = kept[pairs.higher]
    return Pairs(pairs.higher[mask], pairs.lower[mask])


def _suppress_pairs(kept: bytearray, pairs: Pairs) -> None:
    """Set the byte of each box to 0 that a kept one suppresses; pairs are sorted by the higher-ranked box."""
    for higher, lower in zip(pairs.higher.tolist(), pairs.lower.tolist(), strict=True):
        if kept[higher]:
            kept[lower] = 0


def _greedy(boxes: FloatArray, rule: Rule) -> tuple[IndexArray, Pairs]:
    """Return the indices of the kept boxes of (N, 4), highest-ranked first, and the pairs of kept and suppressed."""
    kept_bytes = bytearray(b"\1" * len(boxes))
    kept = np.frombuffer(kept_bytes, dtype=np.bool_)  # a view
    kept_pairs: list[Pairs] = []
    # Suppressed boxes are not queried: N boxes in one position do not give N * N pairs.
    for pairs in _suppressing_pairs(boxes, rule, kept):
        _suppress_pairs(kept_bytes, pairs)
        kept_pairs.append(_pairs_of_kept(kept, pairs))
    return np.flatnonzero(kept), _concatenate(kept_pairs)


def _rank(detections: Detections) -> Detections:
    """Round detections and sort them in the order in which they are processed."""
    # The sort is stable: finer levels first among detections with equal scores and boxes.
    rounded = round_detections(detections.take(np.argsort(detections.resolution_m, kind="stable")))
    return rounded.take(score_order(rounded.boxes, rounded.scores))


def _level_rule(ranked: Detections, suppression: Suppression) -> Rule:
    """Return the rule of `merge_levels`."""
    boxes, resolution_m, areas = ranked.boxes, ranked.resolution_m, area(ranked.boxes)

    def rule(higher: IndexArray, lower: IndexArray) -> NDArray[np.bool_]:
        overlaps = iou_pairs(boxes[higher], boxes[lower]) > suppression.iou
        smaller_and_finer = (resolution_m[lower] < resolution_m[higher]) & (areas[lower] < areas[higher])
        contained = iom_pairs(boxes[higher], boxes[lower]) >= suppression.containment
        return np.asarray(overlaps | (smaller_and_finer & contained))

    return rule


def _average_levels(ranked: Detections, kept: IndexArray, suppressed: Pairs, iou: float) -> Detections:
    """Average the box of each kept detection with those that it suppresses by overlap, weighted over levels.

        v_i = max(0, 1 - (best - score_i) / 0.3)
        b_l = sum_i v_i box_i / sum_i v_i,  w_l = max_i v_i / r_l     over the detections i of level l
        box = sum_l w_l b_l / sum_l w_l

    with r_l in metres per pixel, since the error of boxes is about the same number of pixels on every level. A level
    counts once, even where two of its tiles detect the airplane at their seam.

    Args:
        ranked: as returned by `_rank`.
        kept: (K,) ascending indices of the kept detections.
        suppressed: pairs of kept detections and those that they suppress.
        iou: minimum overlap (exclusive) of the boxes averaged, 0..1: parts of an airplane are left out.
    """
    boxes, scores = ranked.boxes, ranked.scores
    overlaps = iou_pairs(boxes[suppressed.higher], boxes[suppressed.lower]) > iou
    target = np.concatenate([kept, suppressed.higher[overlaps]])
    voter = np.concatenate([kept, suppressed.lower[overlaps]])
    weights = 1 - (scores[target] - scores[voter]) / _SCORE_RANGE
    order = np.lexsort((voter, target))  # the last bits of a sum depend on the order
    order = order[weights[order] > 0]
    voter, weights, row = voter[order], weights[order], np.searchsorted(kept, target[order])
    levels_m, level = np.unique(ranked.resolution_m[voter], return_inverse=True)
    group = row * len(levels_m) + level
    max_weight = np.zeros(len(kept) * len(levels_m))
    np.maximum.at(max_weight, group, weights)
    weights *= max_weight[group] / np.bincount(group, weights, len(max_weight))[group]
    weights /= np.where(np.isnan(levels_m), 1.0, levels_m)[level]
    sums = [np.bincount(row, weights * boxes[voter, side], len(kept)) for side in range(4)]
    means = np.stack(sums, axis=-1) / np.bincount(row, weights, len(kept))[:, None]
    return Detections(means, scores[kept], ranked.resolution_m[kept])


def _chunk_ranges(boxes: FloatArray, side_px: int) -> tuple[IndexArray, IndexArray]:
    """Return (column, row) of the first and the last chunk of each box, (N, 2) each; edges belong to both sides."""
    first = np.ceil(boxes[:, :2] / side_px).astype(np.int64) - 1
    last = np.floor(boxes[:, 2:] / side_px).astype(np.int64)
    return first, np.maximum(first, last)


def _connected_to(sources: NDArray[np.bool_], pairs: Pairs) -> NDArray[np.bool_]:
    """Return which of N boxes are sources (N,) or connected to one by pairs, (N,)."""
    if not len(pairs.higher):
        return sources
    # Slow to import, and not needed to check a command.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(sources)
    edges = coo_array((np.ones(len(pairs.higher), np.bool_), (pairs.higher, pairs.lower)), shape=(count, count))
    component_count, component = connected_components(edges, directed=False)
    has_source = np.zeros(component_count, np.bool_)
    has_source[component[sources]] = True
    return np.asarray(has_source[component])
