"""Truth boxes to training targets of the anchor-free detector, in NumPy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.detectors.anchor_free.network import OUTPUT_STRIDE

# Channels of a target.
BOX: Final = slice(0, 4)
POSITIVE: Final = 4
COUNTED: Final = 5
CHANNELS: Final = 6

# How far from an airplane's centre its cells may lie, in cells: a share of its shorter side, within bounds.
_RADIUS_SHARE = 0.18
_MIN_RADIUS = 0.75
_MAX_RADIUS = 4.0


def targets(boxes: NDArray[np.float64], ignored: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Return the targets of one image.

    A cell is positive where its centre lies near an airplane's centre: within 0.18 of the box's shorter side,
    at least 0.75 and at most 4 cells. A cell near two airplanes is assigned to the one whose centre is nearer. Every
    airplane has the same total weight: each of its n positive cells has the weight 1 / n.

    Args:
        boxes: airplanes (N, 4), pixels of the image, corner origin.
        ignored: boxes (M, 4) in which a negative cell is not counted (an airplane cut by the edge, for instance).
        height: height of the image in pixels, a multiple of the stride.
        width: width of the image, likewise.

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
    for index, (xmin, ymin, xmax, ymax) in enumerate(boxes):
        distance = np.maximum(np.abs(x - (xmin + xmax) / 2), np.abs(y - (ymin + ymax) / 2)) / OUTPUT_STRIDE
        radius = np.clip(_RADIUS_SHARE * min(xmax - xmin, ymax - ymin) / OUTPUT_STRIDE, _MIN_RADIUS, _MAX_RADIUS)
        assigned = (distance <= radius) & (distance < nearest)
        nearest[assigned] = distance[assigned]
        owner[assigned] = index
    positive = owner >= 0
    cell_counts = np.bincount(owner[positive], minlength=len(boxes))
    target[positive, BOX] = boxes[owner[positive]]
    target[positive, POSITIVE] = 1 / cell_counts[owner[positive]]
    target[positive, COUNTED] = 1
    return target
