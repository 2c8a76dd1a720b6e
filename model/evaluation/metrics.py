"""How well detections fit the truth: average precision, precision, recall.

Airplanes cut by the picture's edge neither count nor harm: such true boxes ask for nothing, and detections that
match one, or that touch the edge themselves and match none, are left out. So it is with boxes that are to be ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geo.boxes import iom_matrix
from geo.matching import match_at
from geo.types import Detections, FloatArray, IndexArray

# Least overlaps of a detection with what it has found, as COCO takes them.
IOUS = tuple(percent / 100 for percent in range(50, 100, 5))
# A box that ends within this many pixels of the picture's edge is taken as cut by it.
_EDGE_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of detections, over one picture or many.

    Attributes:
        scores: (N,) of the detections that count.
        correct: (N,) whether each is an airplane.
        truths: number of airplanes to be found.
        pictures: number of pictures.
    """

    scores: FloatArray
    correct: NDArray[np.bool_]
    truths: int
    pictures: int

    @classmethod
    def concatenate(cls, parts: Sequence["Outcomes"]) -> Self:
        """The outcomes of all pictures together."""
        return cls(
            np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            np.concatenate([np.zeros(0, bool), *(part.correct for part in parts)]),
            sum(part.truths for part in parts),
            sum(part.pictures for part in parts),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One picture's detections against its truth.

    Attributes:
        outcomes: for each overlap asked of a detection.
        counted: the N detections that count at the first of these overlaps, in the order of its outcomes.
        airplanes: (M, 4) to be found.
        found_at: (M,) the score of the detection that has found each at the first overlap; NaN where none has.
    """

    outcomes: dict[float, Outcomes]
    counted: Detections
    airplanes: FloatArray
    found_at: FloatArray


def compare(
    found: Detections,
    truth: FloatArray,
    width: int,
    height: int,
    ious: Sequence[float],
    ignored: FloatArray | None = None,
) -> Comparison:
    """Compares the detections of one picture with the truth.

    Args:
        found: detections, in the picture's pixels.
        truth: its airplanes (M, 4).
        width: of the picture, pixels.
        height: of the picture, pixels.
        ious: least overlaps of a detection with the airplane it has found; the first is what most figures speak of.
        ignored: boxes (K, 4) that neither count nor harm, wherever they are.
    """
    everything = truth if ignored is None else np.concatenate([truth, ignored])
    void = _touches_edge(everything, width, height) | (np.arange(len(everything)) >= len(truth))
    pairs = match_at(found.boxes, found.scores, everything, ious)
    on_void = iom_matrix(found.boxes, everything[void]).max(axis=1, initial=0)
    at_edge = _touches_edge(found.boxes, width, height)
    # A position of -1, no pair, reads the last entry, which is put there for it.
    right = ~np.append(void, True)[pairs]
    counted = right | ((pairs < 0) & (on_void < np.array(ious)[:, None]) & ~at_edge)
    asked = int((~void).sum())
    outcomes_by_iou = {
        iou: Outcomes(found.scores[counted[k]], right[k][counted[k]], asked, 1) for k, iou in enumerate(ious)
    }
    found_at = np.full(len(everything), np.nan)
    found_at[pairs[0][right[0]]] = found.scores[right[0]]
    return Comparison(outcomes_by_iou, found.take(counted[0]), everything[~void], found_at[~void])


def outcomes(found: Detections, truth: FloatArray, width: int, height: int, iou: float) -> Outcomes:
    """What `compare` says at one overlap."""
    return compare(found, truth, width, height, (iou,)).outcomes[iou]


def average_precision(of: Outcomes) -> float:
    """Area under the precision-recall curve, sampled at 101 recalls as COCO does; NaN where there is no airplane."""
    return float(precision_at_recalls(of).mean()) if of.truths else float("nan")


def precision_at_recalls(of: Outcomes) -> FloatArray:
    """The best precision (101,) at which the recalls 0, 0.01, ..., 1 are reached; 0 where one never is."""
    precision, recall, _ = curve(of)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return np.asarray(np.append(best, 0.0)[places])


def mean_average_precision(of: Mapping[float, Outcomes]) -> float:
    """The mean of the average precision over all overlaps; NaN where there is no airplane."""
    return float(np.mean([average_precision(each) for each in of.values()]))


def mean_recall(of: Mapping[float, Outcomes], min_score: float) -> float:
    """The mean over all overlaps of the recall at a threshold; NaN where there is no airplane."""
    return float(np.mean([at_threshold(each, min_score).recall if each.truths else np.nan for each in of.values()]))


def curve(of: Outcomes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and score (N,) after each detection, by falling score; equal scores count as one step."""
    right, found, scores = _counts(of)
    return right / found, right / max(of.truths, 1), scores


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Counts at one score threshold: right, wrong and missed airplanes."""

    min_score: float
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the detections that are airplanes; 1 where there are none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the airplanes that are found; 1 where there are none."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def at_threshold(of: Outcomes, min_score: float) -> AtThreshold:
    """Counts the detections that score at least `min_score`."""
    chosen = of.scores >= min_score
    right = int(of.correct[chosen].sum())
    return AtThreshold(min_score, right, int(chosen.sum()) - right, of.truths - right)


def best_f1(of: Outcomes) -> AtThreshold:
    """The threshold with the highest F1; of several the highest threshold.

    Raises:
        ValueError: there is no detection to choose from.
    """
    if not len(of.scores):
        raise ValueError("a threshold is chosen among the scores of detections, and there are none")
    right, found, scores = _counts(of)
    # The harmonic mean of precision and recall in whole numbers, so that equal ones are equal to the last bit.
    f1 = 2 * right / (found + of.truths)
    return at_threshold(of, float(scores[f1.argmax()]))


def _counts(of: Outcomes) -> tuple[IndexArray, IndexArray, FloatArray]:
    """Right detections, all detections and score (N,) after each step down the scores."""
    order = np.argsort(-of.scores, kind="stable")
    scores = of.scores[order]
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    return np.cumsum(of.correct[order])[last], np.flatnonzero(last) + 1, scores[last]


def _touches_edge(boxes: FloatArray, width: int, height: int) -> NDArray[np.bool_]:
    low = (boxes[:, :2] <= _EDGE_PX).any(axis=1)
    high = (boxes[:, 2:] >= np.array([width, height]) - _EDGE_PX).any(axis=1)
    return np.asarray(low | high)
