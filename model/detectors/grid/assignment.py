"""Which cells of the grid are taught which airplane: truth boxes to training targets, in NumPy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.detectors.grid.network import TILE_PX, GridConfig

# Channels of a target.
POSITION: Final = slice(0, 2)
SIZE: Final = 2
PLANE: Final = 3
COUNTED: Final = 4
CHANNELS: Final = 5

# Half cells; farther than any airplane in the cell is from its centre: those of the periphery come later.
_LATER = 10.0


def squares(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squares (N, 4) that stand for boxes (N, 4): of the same centres, their sides the boxes' longer ones."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - reach, centres + reach], axis=1)


def targets(
    boxes: NDArray[np.float64], ignored: NDArray[np.float64], height: int, width: int, config: GridConfig
) -> NDArray[np.float32]:
    """Targets of one picture.

    `plain`: the airplanes centred in a cell fill its slots, the one closest to the cell's centre first; those that find
    none free are left out. `swarm`: slots that are free then take airplanes from the periphery, which are centred
    outside of the cell, but within `cell_grow`; again the closest first. Slots still free repeat, in turn, what the
    others have, so that a lone airplane is taught to all: to the slots of its cell, and to those of each cell whose
    periphery it is in, empty otherwise.

    What is taught are squares, see `squares`; a side of more than 256 px is taught as 256 px.

    Args:
        boxes: airplanes (N, 4), pixels of the picture, corner origin.
        ignored: boxes (M, 4) that a slot without an airplane is counted neither for nor against: those of a cell that
            could tell of the box, as it would of an airplane, or whose centre lies in it.
        height: of the picture in pixels.
        width: likewise.
        config: of the detector.

    Returns:
        (h, w, boxes, 5), a cell for each `cell_px` pixels or part of them: x and y of the airplane's centre from the
        cell's, in half cells, its side as a share of 256 px (0 where there is no airplane), 1 where there is one, 1
        where counted.
    """
    rows, cols = -(-height // config.cell_px), -(-width // config.cell_px)
    target = np.zeros((rows, cols, config.boxes, CHANNELS), np.float32)
    target[..., COUNTED] = ~_hidden(ignored, rows, cols, config)[..., None]
    offsets = _offsets(boxes, rows, cols, config)
    owner = _owners(offsets, config)
    row, col, slot = np.nonzero(owner >= 0)
    airplane = owner[row, col, slot]
    target[row, col, slot, POSITION] = offsets[row, col, airplane]
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    target[row, col, slot, SIZE] = np.minimum(side / TILE_PX, 1)[airplane]
    target[row, col, slot, PLANE] = target[row, col, slot, COUNTED] = 1
    return target


def _owners(offsets: NDArray[np.float64], config: GridConfig) -> NDArray[np.int64]:
    """Which airplane each slot (h, w, boxes) is taught, -1 for none, of offsets (h, w, N, 2)."""
    rows, cols = offsets.shape[:2]
    swarm = config.assignment == "swarm"
    distance = np.hypot(offsets[..., 0], offsets[..., 1])
    # Half-open, so that each airplane is centred in one cell.
    inside = ((offsets >= -1) & (offsets < 1)).all(axis=-1)
    near = (np.abs(offsets) <= config.cell_grow).all(axis=-1) & swarm
    rank = np.where(inside, distance, np.where(near, distance + _LATER, np.inf))
    candidates = np.isfinite(rank).sum(axis=2, keepdims=True)
    # As many that are nowhere as there are slots, for cells with fewer candidates than that.
    order = np.argsort(np.pad(rank, ((0, 0), (0, 0), (0, config.boxes)), constant_values=np.inf), axis=2, kind="stable")
    place = np.broadcast_to(np.arange(config.boxes), (rows, cols, config.boxes))
    place = place % np.maximum(candidates, 1) if swarm else place
    return np.where(place < candidates, np.take_along_axis(order, place, axis=2), -1)


def _offsets(boxes: NDArray[np.float64], rows: int, cols: int, config: GridConfig) -> NDArray[np.float64]:
    """How far boxes (N, 4) are from cells, centre from centre: x and y (rows, cols, N, 2) in half cells."""
    x, y = _centres(rows, cols, config)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return (centres - np.stack([x, y], axis=-1)[:, :, None]) / (config.cell_px / 2)


def _hidden(ignored: NDArray[np.float64], rows: int, cols: int, config: GridConfig) -> NDArray[np.bool_]:
    """The cells (rows, cols) that could tell of a box (M, 4) that is to be ignored."""
    x, y = (centre[..., None] for centre in _centres(rows, cols, config))
    xmin, ymin, xmax, ymax = ignored.T
    over = (x > xmin) & (x < xmax) & (y > ymin) & (y < ymax)
    near = (np.abs(_offsets(ignored, rows, cols, config)) <= config.cell_grow).all(axis=-1)
    return np.asarray((over | near).any(axis=-1))


def _centres(rows: int, cols: int, config: GridConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centres of cells: x and y (rows, cols), in pixels."""
    x, y = np.meshgrid((np.arange(cols) + 0.5) * config.cell_px, (np.arange(rows) + 0.5) * config.cell_px)
    return x, y
