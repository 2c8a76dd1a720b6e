"""Which cells answer for which airplane: truth boxes to training targets, in NumPy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.detector import OUTPUT_STRIDE

# Channels of a target.
BOX: Final = slice(0, 4)
POSITIVE: Final = 4
COUNTED: Final = 5
CHANNELS: Final = 6


def targets(boxes: NDArray[np.float64], ignored: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Targets of one picture.

    A cell is positive where its centre lies near an airplane's centre: within 0.18 of the box's shorter side,
    at least 1 and at most 2.5 cells. Where two airplanes claim a cell, the one whose centre is nearer gets it.

    Args:
        boxes: airplanes (N, 4), pixels of the picture, corner origin.
        ignored: boxes (M, 4) in which a cell counts neither for nor against (an airplane that is cut, say).
        height: of the picture in pixels, a multiple of the stride.
        width: likewise.

    Returns:
        (height / 8, width / 8, 6): the box in pixels (0 where there is none), 1 where positive, 1 where counted.
    """
    rows, cols = height // OUTPUT_STRIDE, width // OUTPUT_STRIDE
    target = np.zeros((rows, cols, CHANNELS), np.float32)
    target[..., COUNTED] = 1
    x, y = np.meshgrid((np.arange(cols) + 0.5) * OUTPUT_STRIDE, (np.arange(rows) + 0.5) * OUTPUT_STRIDE)
    for xmin, ymin, xmax, ymax in ignored:
        target[(x > xmin) & (x < xmax) & (y > ymin) & (y < ymax), COUNTED] = 0
    nearest = np.full((rows, cols), np.inf)
    for box in boxes:
        xmin, ymin, xmax, ymax = box
        distance = np.maximum(np.abs(x - (xmin + xmax) / 2), np.abs(y - (ymin + ymax) / 2)) / OUTPUT_STRIDE
        reach = np.clip(0.18 * min(xmax - xmin, ymax - ymin) / OUTPUT_STRIDE, 1.0, 2.5)
        claimed = (distance <= reach) & (distance < nearest)
        nearest[claimed] = distance[claimed]
        target[claimed, BOX] = box
        target[claimed, POSITIVE] = 1
        target[claimed, COUNTED] = 1
    return target
