"""Keypoints to heat maps, the targets of training, and heat maps to keypoints. NumPy only."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from geo.outline import NOSE, TAIL
from geo.types import FloatArray

#: Side of a crop, pixels.
CROP_PX = 64
#: Side of a crop, in longer sides of the airplane's box.
CONTEXT = 1.5
#: Side of a cell of the heat maps, pixels of the crop.
CELL_PX = 4
#: Cells along a side of a heat map.
CELLS = CROP_PX // CELL_PX
_COLUMNS = (np.arange(CELLS) + 0.5) * CELL_PX
# (CELLS * CELLS, 2) x and y of the cells' centres, row by row, pixels of the crop.
_CENTRES = np.stack(np.meshgrid(_COLUMNS, _COLUMNS), axis=-1).reshape(-1, 2)
# Standard deviation of a target about its point, cells.
_TARGET_SD = 0.6
# A point is the mean over cells whose centres lie this far from that of the highest, cells along x and y.
_NEAR = 1.5


@dataclasses.dataclass(frozen=True, slots=True)
class Keypoints:
    """The keypoints of N airplanes, in the pixels of their crops; in the order of `geo.outline`.

    Attributes:
        points: (N, 4, 2) x and y.
        spread_px: (N, 4) standard deviation of the heat map about its point, along x and along y.
        reversed_probability: (N,) how likely nose and tail are the other way round, 0..1.
    """

    points: FloatArray
    spread_px: FloatArray
    reversed_probability: FloatArray


def encode(points: FloatArray) -> NDArray[np.float32]:
    """Return the heat maps (N, CELLS * CELLS, 4) of points (N, 4, 2) in crops; 0 for those that are NaN or outside."""
    inside = np.asarray(((points > 0) & (points < CROP_PX)).all(axis=-1))
    squares = ((_CENTRES[None, :, None] - np.nan_to_num(points)[:, None]) ** 2).sum(axis=-1)
    maps = np.exp(-squares / (2 * (_TARGET_SD * CELL_PX) ** 2))
    maps /= np.maximum(maps.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(maps * inside[:, None], np.float32)


def decode(maps: NDArray[np.floating]) -> Keypoints:
    """Return the keypoints that heat maps show.

    Args:
        maps: (N, CELLS * CELLS, 4) probability that a point lies in a cell; those of one point sum to 1.
    """
    maps = np.asarray(maps, np.float64)
    highest = _CENTRES[maps.argmax(axis=1)]
    near = (np.abs(highest[:, None] - _CENTRES[None, :, None]) <= _NEAR * CELL_PX).all(axis=-1)
    weights = maps * near
    mass = weights.sum(axis=1)
    points = np.einsum("ncp,cd->npd", weights, _CENTRES) / mass[..., None]
    # Of the whole map: it is wide where the network wavers between two positions.
    squares = ((_CENTRES[None, :, None] - points[:, None]) ** 2).sum(axis=-1) / 2
    spread = np.sqrt((maps * squares).sum(axis=1))
    as_is = mass[:, NOSE] * mass[:, TAIL]
    other_way = (maps[..., NOSE] * near[..., TAIL]).sum(axis=1) * (maps[..., TAIL] * near[..., NOSE]).sum(axis=1)
    return Keypoints(points, spread, other_way / (as_is + other_way))
