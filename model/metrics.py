"""How well detections fit the truth: average precision, precision, recall.

Airplanes cut by the picture's edge neither count nor harm: such true boxes ask for nothing, and detections that
match one, or that touch the edge themselves and match none, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geo.boxes import iom_matrix
from geo.matching import match
from geo.types import Detections, FloatArray, IndexArray

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


def outcomes(found: Detections, truth: FloatArray, width: int, height: int, iou: float) -> Outcomes:
    """Compares the detections of one picture with the truth.

    Args:
        found: detections, in the picture's pixels.
        truth: its airplanes (M, 4).
        width: of the picture, pixels.
        height: of the picture, pixels.
        iou: least overlap of a detection with the airplane it has found.
    """
    cut = _touches_edge(truth, width, height)
    pairs = match(found.boxes, found.scores, truth, iou)
    correct = (pairs >= 0) & ~cut[pairs] if len(truth) else np.zeros(len(found), bool)
    on_cut = iom_matrix(found.boxes, truth[cut]).max(axis=1, initial=0) >= iou
    counted = correct | ((pairs < 0) & ~on_cut & ~_touches_edge(found.boxes, width, height))
    return Outcomes(found.scores[counted], correct[counted], int((~cut).sum()), 1)


def average_precision(of: Outcomes) -> float:
    """Area under the precision-recall curve, sampled at 101 recalls as COCO does; NaN where there is no airplane."""
    if of.truths == 0:
        return float("nan")
    precision, recall, _ = curve(of)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0.0)[places].mean())


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
