"""Value types shared by geo, model and pipeline.

Pixel coordinates are (x, y) = (column, row) in float64 with the corner as origin: the first pixel covers
[0, 1) x [0, 1), its centre is (0.5, 0.5). Boxes are rows of (xmin, ymin, xmax, ymax).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]
ImageArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A window of pixels [col, right) x [row, bottom), half-open.

    Args:
        col: first column.
        row: first row.
        width: columns, 0 or more.
        height: rows, 0 or more.
    """

    col: int
    row: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column after the window."""
        return self.col + self.width

    @property
    def bottom(self) -> int:
        """First row after the window."""
        return self.row + self.height

    def contains_points(self, xy: FloatArray) -> NDArray[np.bool_]:
        """Return which points (N, 2) lie inside, half-open, bool (N,); False for NaN."""
        x, y = xy[:, 0], xy[:, 1]
        return (x >= self.col) & (x < self.right) & (y >= self.row) & (y < self.bottom)

    def intersection(self, other: "Window") -> "Window":
        """Return the common pixels of both windows; width or height is 0 if there are none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        width = max(0, min(self.right, other.right) - col)
        height = max(0, min(self.bottom, other.bottom) - row)
        return Window(col, row, width, height)


def _column(values: ArrayLike, shape: tuple[int, ...], name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detected airplanes: upright boxes with scores. Functions that return them document the frame of the boxes.

    Args:
        boxes: (N, 4) xmin, ymin, xmax, ymax in pixels.
        scores: (N,) 0..1.
        resolution_m: (N,) metres on the ground per pixel of the level on which each was detected; NaN if unknown.

    Raises:
        ValueError: the lengths differ.
    """

    boxes: FloatArray
    scores: FloatArray
    resolution_m: FloatArray

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, dtype=np.float64)
        count = len(boxes)
        object.__setattr__(self, "boxes", _column(boxes, (count, 4), "boxes"))
        object.__setattr__(self, "scores", _column(self.scores, (count,), "scores"))
        object.__setattr__(self, "resolution_m", _column(self.resolution_m, (count,), "resolution_m"))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Self:
        """Return zero detections."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0))

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> Self:
        """Return all detections of the parts, which share one frame, in their order."""
        parts = [cls.empty(), *parts]
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.resolution_m for part in parts]),
        )

    def take(self, indices: NDArray[Any]) -> Self:
        """Return the detections at these indices, or where this mask (N,) is true."""
        return type(self)(self.boxes[indices], self.scores[indices], self.resolution_m[indices])
