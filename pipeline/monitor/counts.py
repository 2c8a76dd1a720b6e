"""The number of airplanes behind a set of detections, with its interval. Pure functions over arrays.

A detection with the calibrated score p is an airplane with probability p, and of airplanes of its size only a share r
is detected at all. The expected number is the sum of p / r. The interval is that of the true number's distribution:
a Poisson-binomial number of detected airplanes, and for each of them a geometric number of missed ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from geo.types import FloatArray
from pipeline.monitor.settings import Recall

#: Probability left out at each end of the interval.
TAIL = 0.025


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated number of airplanes.

    Attributes:
        detected: detections.
        count: expected number of airplanes.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    detected: int
    count: float
    low: int
    high: int


def recall_of(size_px: FloatArray, table: Sequence[Recall]) -> FloatArray:
    """Return the measured recall of airplanes of these sizes, (N,), pixels of the scene."""
    edges = np.array([row.min_px for row in table])
    recalls = np.array([row.recall for row in table])
    return np.asarray(recalls[np.searchsorted(edges, np.maximum(size_px, edges[0]), side="right") - 1])


def mean_recall(table: Sequence[Recall]) -> float:
    """Return the recall of all airplanes it was measured on together."""
    weights = np.array([row.airplanes for row in table], dtype=np.float64)
    recalls = np.array([row.recall for row in table])
    return float(np.average(recalls, weights=weights if weights.sum() else None))


def estimate(scores: FloatArray, recalls: FloatArray, recall_of_none: float) -> Estimate:
    """Return the number of airplanes behind detections.

    Args:
        scores: (N,) probability of each detection to be an airplane, 0..1.
        recalls: (N,) share of airplanes of its size that are detected, above 0, up to 1.
        recall_of_none: recall to assume where nothing was detected.
    """
    cumulative = np.cumsum(distribution(scores, recalls, recall_of_none))
    low, high = (int(np.searchsorted(cumulative, share)) for share in (TAIL, 1 - TAIL))
    return Estimate(len(scores), round(float(np.sum(scores / recalls)), 3), low, high)


def distribution(scores: FloatArray, recalls: FloatArray, recall_of_none: float) -> FloatArray:
    """Return the probability of each number of airplanes from 0 on, (M,), for a flat prior of the number.

    By its characteristic function at the M-th roots of unity z. A detection gives 1 - p + p z g(r), where
    g(r) = r / (1 - (1 - r) z) is that of the number of missed airplanes between two detected ones. A flat prior
    gives one more g, of the mean recall: also where nothing was detected, an airplane may have been missed.
    """
    length = 256
    while length < 4 * float(np.sum(1 / recalls)) + 64:
        length *= 2
    z = np.exp(-2j * np.pi * np.arange(length) / length)
    mean = float(np.mean(recalls)) if len(recalls) else recall_of_none
    transform = mean / (1 - (1 - mean) * z)
    for score, recall in zip(scores, recalls, strict=True):
        transform *= 1 - score + score * z * recall / (1 - (1 - recall) * z)
    probability = np.maximum(np.real(np.fft.ifft(transform)), 0.0)
    return np.asarray(probability / probability.sum())


@dataclasses.dataclass(frozen=True, slots=True)
class SizeClass:
    """A range of `size_m`, half-open; the last one has no upper edge."""

    min_m: float
    max_m: float | None

    @property
    def name(self) -> str:
        """Such as `30-45 m`, or `60 m and more`."""
        return f"{self.min_m:g} m and more" if self.max_m is None else f"{self.min_m:g}-{self.max_m:g} m"

    def contains(self, size_m: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return which sizes, (N,), lie in the class."""
        return np.asarray((size_m >= self.min_m) & (size_m < (np.inf if self.max_m is None else self.max_m)))


def size_classes(edges_m: Sequence[float]) -> tuple[SizeClass, ...]:
    """Return the size classes between edges, metres, rising; the first begins at 0."""
    edges = [0.0, *(edge for edge in edges_m if edge > 0)]
    return tuple(SizeClass(low, high) for low, high in zip(edges, [*edges[1:], None], strict=True))


def size_class_name(size_m: float, edges_m: Sequence[float]) -> str:
    """Return the name of the size class of an airplane."""
    sizes = np.array([size_m])
    return next(each.name for each in size_classes(edges_m) if each.contains(sizes)[0])
