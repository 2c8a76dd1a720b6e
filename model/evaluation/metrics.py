"""Metrics of detections against annotated airplanes: average precision, precision, recall, and per-tile metrics.

Airplanes cut by the edge of an image, and ignored boxes, are void: void boxes need not be detected, and detections that
match one are left out. So are unmatched detections that touch the edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.boxes import iom_matrix, match, match_at
from geo.types import Detections, FloatArray, IndexArray

# IoU thresholds of a match, those of COCO.
IOUS = tuple(percent / 100 for percent in range(50, 100, 5))
# A box that ends within this many pixels of the image's edge is taken as cut by it.
_EDGE_PX = 1.0
# Side of the tiles of the per-tile metrics.
TILE_PX = 256
# IoU threshold of a match in the per-tile metrics.
_TILE_MATCH_IOU = 0.1
# Tolerance of position and size in the per-tile metrics, as a share of the airplane's size.
_TOLERANCE = 0.3
# The shift of scores on a new sensor: detections that tell it, the largest score with a finite logit, and how large a
# shift is before anything is known.
_SHIFT_MIN_SCORE = 0.05
_LARGEST_SCORE = 1 - 1e-6
_SHIFT_SD = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Scores of detections and whether each matches an airplane, over one image or many.

    Attributes:
        scores: (N,) of the detections that count.
        correct: (N,) whether each matches an airplane.
        num_airplanes: annotated airplanes that count.
        num_images: images.
    """

    scores: FloatArray
    correct: NDArray[np.bool_]
    num_airplanes: int
    num_images: int

    @classmethod
    def concatenate(cls, parts: Sequence["Matches"]) -> Self:
        """Return the matches of all images together."""
        return cls(
            np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            np.concatenate([np.zeros(0, bool), *(part.correct for part in parts)]),
            sum(part.num_airplanes for part in parts),
            sum(part.num_images for part in parts),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Detections of one image compared with its annotations.

    Attributes:
        matches: by IoU threshold.
        detections: the N detections that count at the first threshold, in the order of its matches.
        airplanes: (M, 4) annotated airplanes that count.
        airplane_scores: (M,) score of the detection that matches each airplane at the first threshold; NaN if missed.
    """

    matches: dict[float, Matches]
    detections: Detections
    airplanes: FloatArray
    airplane_scores: FloatArray


def compare(
    detections: Detections,
    airplanes: FloatArray,
    width: int,
    height: int,
    ious: Sequence[float],
    ignored: FloatArray | None = None,
) -> Comparison:
    """Compare the detections of one image with its annotations.

    Args:
        detections: in pixels of the image.
        airplanes: annotated boxes (M, 4).
        width: width of the image, pixels.
        height: height of the image, pixels.
        ious: IoU thresholds of a match; most metrics use the first.
        ignored: boxes (K, 4) that are void wherever they are.
    """
    truth = airplanes if ignored is None else np.concatenate([airplanes, ignored])
    void = touches_edge(truth, width, height) | (np.arange(len(truth)) >= len(airplanes))
    pairs = match_at(detections.boxes, detections.scores, truth, ious)
    void_overlap = iom_matrix(detections.boxes, truth[void]).max(axis=1, initial=0)
    at_edge = touches_edge(detections.boxes, width, height)
    correct, counted = count_pairs(pairs, void, void_overlap, at_edge, ious)
    num_airplanes = int((~void).sum())
    matches = {
        iou: Matches(detections.scores[counted[k]], correct[k][counted[k]], num_airplanes, 1)
        for k, iou in enumerate(ious)
    }
    truth_scores = np.full(len(truth), np.nan)
    truth_scores[pairs[0][correct[0]]] = detections.scores[correct[0]]
    return Comparison(matches, detections.take(counted[0]), truth[~void], truth_scores[~void])


def count_pairs(
    pairs: IndexArray,
    void: NDArray[np.bool_],
    void_overlap: FloatArray,
    at_edge: NDArray[np.bool_],
    ious: Sequence[float],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which detections match an airplane that counts, and which count themselves, each (K, N).

    Args:
        pairs: (K, N) of `geo.boxes.match_at`.
        void: (M,) which of the true shapes are void.
        void_overlap: (N,) largest share of a detection, or of the void shape, that lies in the other.
        at_edge: (N,) whether a detection touches the edge of the image.
        ious: the K thresholds.
    """
    # Index -1, no match, reads the entry appended at the end.
    correct = ~np.append(void, True)[pairs]
    return correct, correct | ((pairs < 0) & (void_overlap < np.array(ious)[:, None]) & ~at_edge)


def match_detections(detections: Detections, airplanes: FloatArray, width: int, height: int, iou: float) -> Matches:
    """Return the matches of one image at one IoU threshold, see `compare`."""
    return compare(detections, airplanes, width, height, (iou,)).matches[iou]


def average_precision(matches: Matches) -> float:
    """Return the area under the precision-recall curve, sampled at 101 recalls as in COCO; NaN without airplanes."""
    return float(precision_at_recalls(matches).mean()) if matches.num_airplanes else float("nan")


def precision_at_recalls(matches: Matches) -> FloatArray:
    """Return the best precision (101,) at recalls of at least 0, 0.01, ..., 1; 0 where a recall is not reached."""
    precision, recall, _ = precision_recall_curve(matches)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    indices = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return np.asarray(np.append(best, 0.0)[indices])


def mean_average_precision(matches: Mapping[float, Matches]) -> float:
    """Return the mean of the average precision over all IoU thresholds; NaN without airplanes."""
    return float(np.mean([average_precision(each) for each in matches.values()]))


def mean_recall(matches: Mapping[float, Matches], min_score: float) -> float:
    """Return the mean over all IoU thresholds of the recall at a score threshold; NaN without airplanes."""
    recalls = [at_threshold(each, min_score).recall if each.num_airplanes else np.nan for each in matches.values()]
    return float(np.mean(recalls))


def precision_recall_curve(matches: Matches) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return precision, recall and score (N,) by falling score; detections of equal score make one point."""
    true_positives, positives, scores = _cumulative_counts(matches)
    return true_positives / positives, true_positives / max(matches.num_airplanes, 1), scores


@dataclass(frozen=True, slots=True)
class ThresholdMetrics:
    """Counts of detections and missed airplanes at a score threshold."""

    min_score: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the detections that are airplanes; 1 where there are none."""
        positives = self.true_positives + self.false_positives
        return self.true_positives / positives if positives else 1.0

    @property
    def recall(self) -> float:
        """Share of the airplanes that are detected; 1 where there are none."""
        airplanes = self.true_positives + self.false_negatives
        return self.true_positives / airplanes if airplanes else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 without airplanes and detections."""
        # As a ratio of integers, so that equal values are equal to the last bit.
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 1.0


def at_threshold(matches: Matches, min_score: float) -> ThresholdMetrics:
    """Count the detections that score at least `min_score`."""
    chosen = matches.scores >= min_score
    correct = int(matches.correct[chosen].sum())
    return ThresholdMetrics(min_score, correct, int(chosen.sum()) - correct, matches.num_airplanes - correct)


def best_f1(matches: Matches) -> ThresholdMetrics:
    """Return the metrics at the threshold with the highest F1; of equal ones, the highest threshold.

    Raises:
        ValueError: there are no detections.
    """
    if not len(matches.scores):
        raise ValueError("expected detections, whose scores are the candidate thresholds, got none")
    true_positives, positives, scores = _cumulative_counts(matches)
    f1 = 2 * true_positives / (positives + matches.num_airplanes)
    return at_threshold(matches, float(scores[f1.argmax()]))


def suggest_min_score(matches: Matches, min_score: float) -> float:
    """Return a threshold for imagery like this: the model's own, moved by as much as its scores are off here.

    On a new sensor a detector is too sure of its detections, or not sure enough. By how much the logits of the scores
    are shifted is one number, so that some twenty airplanes are enough to estimate it: by maximum likelihood, with a
    normal prior. The threshold with the best F1 on so few is often worse than the model's own (docs/results.md).

    Args:
        matches: of detections down to low scores, with calibrated scores.
        min_score: the model's own threshold; 0 and 1 are returned as they are.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    if not 0 < min_score < 1:
        return min_score
    is_sure = matches.scores >= _SHIFT_MIN_SCORE
    logits, correct = logit(np.clip(matches.scores[is_sure], 0, _LARGEST_SCORE)), matches.correct[is_sure].sum()

    def slope(shift: float) -> float:
        return float(expit(logits - shift).sum() - correct - shift / _SHIFT_SD**2)

    # Falls from more than 0 to less than 0: the prior alone weighs more than all detections at a shift of so many.
    bound = (len(logits) + 1) * _SHIFT_SD**2
    return float(expit(logit(min_score) + brentq(slope, -bound, bound)))


def _cumulative_counts(matches: Matches) -> tuple[IndexArray, IndexArray, FloatArray]:
    """Return true positives, all positives and score (N,) at each distinct score, falling."""
    order = np.argsort(-matches.scores, kind="stable")
    scores = matches.scores[order]
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    return np.cumsum(matches.correct[order])[last], np.flatnonzero(last) + 1, scores[last]


def touches_edge(boxes: FloatArray, width: int, height: int) -> NDArray[np.bool_]:
    """Return which boxes (N, 4) end at the edge of an image, and may be cut off by it."""
    low = (boxes[:, :2] <= _EDGE_PX).any(axis=1)
    high = (boxes[:, 2:] >= np.array([width, height]) - _EDGE_PX).any(axis=1)
    return np.asarray(low | high)


# The per-tile metrics are those of the talk.


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """Mistakes of the detections of one tile.

    Attributes:
        false: (N,) detections that match no airplane.
        imprecise: (N,) detections that match, but whose position or size is off by more than 30 % of the airplane's
            size.
        missed: (M,) airplanes that no detection matches.
    """

    false: NDArray[np.bool_]
    imprecise: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of mistakes of all kinds."""
        return int(self.false.sum() + self.imprecise.sum() + self.missed.sum())


@dataclass(frozen=True, slots=True)
class TileMetrics:
    """Metrics over many tiles.

    Attributes:
        tiles: number of tiles.
        iou: mean of `union_iou` over the tiles that have boxes; NaN where none has.
        mistakes: mean number of mistakes per tile; NaN without tiles.
    """

    tiles: int
    iou: float
    mistakes: float


def tile_metrics(tiles: Sequence[tuple[Detections, FloatArray]]) -> TileMetrics:
    """Return the metrics of tiles, each given as its detections and its airplanes (M, 4) in the same pixels."""
    ious = np.array([union_iou(detections.boxes, airplanes) for detections, airplanes in tiles])
    counts = [find_mistakes(detections, airplanes).count for detections, airplanes in tiles]
    return TileMetrics(len(tiles), _mean(ious[~np.isnan(ious)]), _mean(counts))


def split_into_tiles(
    detections: Detections, airplanes: FloatArray, width: int, height: int
) -> list[tuple[Detections, FloatArray]]:
    """Assign the boxes of an image to tiles of 256 px, uncut, so that a seam between two centres causes no mistake.

    Detections and airplanes are matched over the whole image, as `find_mistakes` does. A pair belongs to the tile with
    the centre of its airplane, an unmatched box to the tile with its own centre; a centre outside the image to the
    nearest tile. Matching within a tile gives the same pairs again: the mistakes of the tiles add up to the image's.

    Args:
        detections: above the score threshold, in pixels of the image.
        airplanes: annotated boxes (M, 4).
        width: width of the image, pixels.
        height: height of the image, pixels.

    Returns:
        The argument of `tile_metrics`, row by row; boxes in pixels of the image.
    """
    shape = -(-np.array([width, height]) // TILE_PX)
    airplane_tiles, detection_tiles = _tile_indices(airplanes, shape), _tile_indices(detections.boxes, shape)
    pairs = match(detections.boxes, detections.scores, airplanes, _TILE_MATCH_IOU)
    detection_tiles[pairs >= 0] = airplane_tiles[pairs[pairs >= 0]]
    return [
        (detections.take(detection_tiles == tile), airplanes[airplane_tiles == tile]) for tile in range(shape.prod())
    ]


def _tile_indices(boxes: FloatArray, shape: IndexArray) -> IndexArray:
    """Return the index of the tile (K,) that holds the centre of each box; `shape` is tiles across and down."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    across, down = np.clip(centres // TILE_PX, 0, shape - 1).astype(np.int64).T
    return np.asarray(down * shape[0] + across)


def union_iou(boxes: FloatArray, airplanes: FloatArray) -> float:
    """Return the IoU of the union of all detected boxes and the union of all annotated ones, 0..1; NaN without boxes.

    Args:
        boxes: detected, (N, 4).
        airplanes: annotated, (M, 4), in the same pixels.
    """
    union = _union_area(np.concatenate([boxes, airplanes]))
    intersection = _union_area(boxes) + _union_area(airplanes) - union
    return max(intersection, 0.0) / union if union else float("nan")


def find_mistakes(detections: Detections, airplanes: FloatArray) -> Mistakes:
    """Find the mistakes of the detections of one tile.

    By falling score, each detection takes the free airplane that it overlaps most, from an IoU of 0.1 on. The size of
    an airplane is the longer side of its box, the error of a position the distance of the centres.

    Args:
        detections: above the score threshold.
        airplanes: annotated boxes (M, 4), in the same pixels.
    """
    pairs = match(detections.boxes, detections.scores, airplanes, _TILE_MATCH_IOU)
    matched = pairs >= 0
    imprecise = np.zeros(len(detections), bool)
    imprecise[matched] = _is_imprecise(detections.boxes[matched], airplanes[pairs[matched]])
    return Mistakes(~matched, imprecise, ~np.isin(np.arange(len(airplanes)), pairs))


def _is_imprecise(boxes: FloatArray, airplanes: FloatArray) -> NDArray[np.bool_]:
    """Compare boxes (K, 4) with the airplanes that they match, row by row."""
    sizes, true_sizes = ((each[:, 2:] - each[:, :2]).max(axis=1) for each in (boxes, airplanes))
    distance = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] - airplanes[:, :2] - airplanes[:, 2:], axis=1) / 2
    return np.asarray(np.maximum(distance, np.abs(sizes - true_sizes)) > _TOLERANCE * true_sizes)


def _union_area(boxes: FloatArray) -> float:
    return float(shapely.union_all(shapely.box(*boxes.T)).area)


def _mean(values: Sequence[float] | FloatArray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
