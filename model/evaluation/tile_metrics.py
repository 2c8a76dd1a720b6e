"""The talk's two figures of a detector, tile by tile: how much of the ground is told right, and how many mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.matching import match
from geo.types import Detections, FloatArray, IndexArray

# Detection and airplane are a pair from this overlap on; with less, one is false and the other missed.
_PAIR_IOU = 0.1
# Side of the tiles of a picture.
TILE_PX = 256
# What a position or a size may be off by, as a share of the airplane's size.
_TOLERANCE = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """What is wrong with the detections of one tile.

    Attributes:
        false: (N,) whether each detection finds no airplane, or one that a surer one has found.
        off: (N,) whether each finds one, but its position or size is off by more than 30 % of the airplane's size.
        missed: (M,) whether each airplane is found by none.
    """

    false: NDArray[np.bool_]
    off: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """All of them together."""
        return int(self.false.sum() + self.off.sum() + self.missed.sum())


@dataclass(frozen=True, slots=True)
class TileFigures:
    """Figures over many tiles.

    Attributes:
        tiles: how many.
        iou: mean of `iou`, tiles without a box of either kind left out; NaN where all are.
        mistakes: mean number in a tile; NaN where there is no tile.
    """

    tiles: int
    iou: float
    mistakes: float


def figures(tiles: Sequence[tuple[Detections, FloatArray]]) -> TileFigures:
    """Figures of tiles: of each its detections, from the threshold on, and its airplanes (M, 4), in its pixels."""
    ious = np.array([iou(found.boxes, truth) for found, truth in tiles])
    ious = ious[~np.isnan(ious)]
    counts = [mistakes(found, truth).count for found, truth in tiles]
    return TileFigures(len(tiles), _mean(ious), _mean(counts))


def cut(found: Detections, truth: FloatArray, width: int, height: int) -> list[tuple[Detections, FloatArray]]:
    """Deals what a picture has out to its tiles of 256 px, whole: a seam between two centres makes nothing wrong.

    Detections and airplanes are paired as `mistakes` does, over the whole picture. A pair belongs to the tile with its
    airplane's centre, what is left to that with its own; outside of the picture the nearest tile counts. Pairs are the
    same again within the tiles: so the tiles' mistakes add up to the picture's.

    Args:
        found: detections, from the threshold on, in pixels of the picture.
        truth: its airplanes (M, 4).
        width: of the picture, pixels.
        height: of the picture, pixels.

    Returns:
        What `figures` takes, for each tile, row by row; in pixels of the picture, and not clipped.
    """
    counts = -(-np.array([width, height]) // TILE_PX)
    of_truth, of_found = _tile(truth, counts), _tile(found.boxes, counts)
    pairs = match(found.boxes, found.scores, truth, _PAIR_IOU)
    of_found[pairs >= 0] = of_truth[pairs[pairs >= 0]]
    return [(found.take(of_found == tile), truth[of_truth == tile]) for tile in range(counts.prod())]


def _tile(boxes: FloatArray, counts: IndexArray) -> IndexArray:
    """The number of the tile (K,) in which each centre lies, of so many tiles across and down."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    across, down = np.clip(centres // TILE_PX, 0, counts - 1).astype(np.int64).T
    return np.asarray(down * counts[0] + across)


def iou(found: FloatArray, truth: FloatArray) -> float:
    """Overlap of all boxes found in one tile with all true ones, 0..1; NaN where there are neither.

    Ground that several boxes cover counts once.

    Args:
        found: (N, 4), in pixels of the tile.
        truth: (M, 4), likewise.
    """
    both = _union_area(np.concatenate([found, truth]))
    shared = _union_area(found) + _union_area(truth) - both
    return max(shared, 0.0) / both if both else float("nan")


def mistakes(found: Detections, truth: FloatArray) -> Mistakes:
    """What is wrong with the detections of one tile.

    The surest detection chooses first among the airplanes that it overlaps by 0.1 or more, and each is taken once. An
    airplane's size is the longer side of its box; a position is off by the distance of centres.

    Args:
        found: detections, in pixels of the tile.
        truth: its airplanes (M, 4).
    """
    pairs = match(found.boxes, found.scores, truth, _PAIR_IOU)
    paired = pairs >= 0
    off = np.zeros(len(found), bool)
    off[paired] = _off(found.boxes[paired], truth[pairs[paired]])
    return Mistakes(~paired, off, ~np.isin(np.arange(len(truth)), pairs))


def _off(found: FloatArray, truth: FloatArray) -> NDArray[np.bool_]:
    """Whether each box (K, 4) is off from the airplane of the same row."""
    wanted, size = _size(truth), _size(found)
    away = np.linalg.norm(found[:, :2] + found[:, 2:] - truth[:, :2] - truth[:, 2:], axis=1) / 2
    return np.asarray(np.maximum(away, np.abs(size - wanted)) > _TOLERANCE * wanted)


def _size(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1))


def _union_area(boxes: FloatArray) -> float:
    return float(shapely.union_all(shapely.box(*boxes.T)).area)


def _mean(values: Sequence[float] | FloatArray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
