"""A classifier of chips as a detector: overlapping tiles of a picture, at several zooms. Where the tiles lie; pure."""

import math
from dataclasses import dataclass

import numpy as np

from geo.types import FloatArray
from model.detectors.classifier import SIDE_PX


@dataclass(frozen=True, slots=True)
class ChipTiling:
    """How a picture is cut into tiles for a classifier.

    At each zoom the picture is resampled, to one zoom-th of its size, and cut into tiles of 20 px, all of which lie
    inside of it. So the box of a tile has 20 px times the zoom in the picture.

    Attributes:
        zooms: above 0; 1 looks at the picture as it is, 2 at half its size.
        step_px: from one tile to the next, in pixels of the resampled picture.
    """

    zooms: tuple[float, ...] = (0.5, 0.71, 1.0, 1.41)
    step_px: int = 4

    def __post_init__(self) -> None:
        if not (self.zooms and all(math.isfinite(zoom) and zoom > 0 for zoom in self.zooms)):
            raise ValueError(f"zooms: expected one or more numbers above 0, got {self.zooms}")
        if self.step_px < 1:
            raise ValueError(f"step_px: expected a whole number from 1 on, got {self.step_px}")


def zoomed(length_px: int, zoom: float) -> int:
    """How many pixels a side of a picture has at a zoom."""
    return max(round(length_px / zoom), 1)


def starts(length_px: int, step_px: int) -> list[int]:
    """Where tiles begin along a side of a resampled picture; nowhere, if it is shorter than a tile."""
    return list(range(0, length_px - SIDE_PX + 1, step_px))


def boxes(height: int, width: int, tiling: ChipTiling) -> FloatArray:
    """The boxes (N, 4) of all tiles in pixels of the picture: zoom by zoom, row by row."""
    each = [np.zeros((0, 4))]
    for zoom in tiling.zooms:
        rows, cols = zoomed(height, zoom), zoomed(width, zoom)
        y, x = np.meshgrid(starts(rows, tiling.step_px), starts(cols, tiling.step_px), indexing="ij")
        corners = np.stack([x, y, x + SIDE_PX, y + SIDE_PX], axis=-1).reshape(-1, 4)
        each.append(corners * np.array([width / cols, height / rows] * 2))
    return np.concatenate(each)
