"""Which cells answer for which airplane: truth boxes to training targets, in NumPy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.detectors.anchor_free.network import OUTPUT_STRIDE

# Channels of a target.
BOX: Final = slice(0, 4)
POSITIVE: Final = 4
COUNTED: Final = 5
CHANNELS: Final = 6

# How far from an airplane's centre its cells may lie, cells: a share of its shorter side, within bounds.
_REACH_SHARE = 0.18
_LEAST_REACH = 0.75
_MOST_REACH = 4.0


def targets(boxes: NDArray[np.float64], ignored: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Targets of one picture.

    A cell is positive where its centre lies near an airplane's centre: within 0.18 of the box's shorter side,
    at least 0.75 and at most 4 cells. Where two airplanes claim a cell, the one whose centre is nearer gets it. Every
    airplane has the same say, however many cells it has: a positive cell counts 1 / (the cells of its airplane).

    Args:
        boxes: airplanes (N, 4), pixels of the picture, corner origin.
        ignored: boxes (M, 4) in which a cell counts neither for nor against (an airplane that is cut, say).
        height: of the picture in pixels, a multiple of the stride.
        width: likewise.

    Returns:
        (height / 4, width / 4, 6): the box in pixels (0 where there is none), the weight of a positive cell (0
        elsewhere), 1 where counted.
    """
    rows, cols = height // OUTPUT_STRIDE, width // OUTPUT_STRIDE
    target = np.zeros((rows, cols, CHANNELS), np.float32)
    target[..., COUNTED] = 1
    x, y = np.meshgrid((np.arange(cols) + 0.5) * OUTPUT_STRIDE, (np.arange(rows) + 0.5) * OUTPUT_STRIDE)
    for xmin, ymin, xmax, ymax in ignored:
        target[(x > xmin) & (x < xmax) & (y > ymin) & (y < ymax), COUNTED] = 0
    nearest = np.full((rows, cols), np.inf)
    owner = np.full((rows, cols), -1)
    for number, (xmin, ymin, xmax, ymax) in enumerate(boxes):
        distance = np.maximum(np.abs(x - (xmin + xmax) / 2), np.abs(y - (ymin + ymax) / 2)) / OUTPUT_STRIDE
        reach = np.clip(_REACH_SHARE * min(xmax - xmin, ymax - ymin) / OUTPUT_STRIDE, _LEAST_REACH, _MOST_REACH)
        claimed = (distance <= reach) & (distance < nearest)
        nearest[claimed] = distance[claimed]
        owner[claimed] = number
    positive = owner >= 0
    cells = np.bincount(owner[positive], minlength=len(boxes))
    target[positive, BOX] = boxes[owner[positive]]
    target[positive, POSITIVE] = 1 / cells[owner[positive]]
    target[positive, COUNTED] = 1
    return target
