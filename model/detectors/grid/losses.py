"""The loss of the detector on a grid: truth boxes to training targets; plane or not, position and size, weighted.

Targets are assigned in NumPy, before a batch reaches the device; the loss is computed on the device.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from model.detectors.config import TILE_PX, GridConfig
from model.detectors.grid import network

# Channels of a target.
POSITION: Final = slice(0, 2)
SIZE: Final = 2
PLANE: Final = 3
COUNTED: Final = 4
CHANNELS: Final = 5
# Added to distances, in half cells, so that airplanes in the periphery rank after those in the cell.
_PERIPHERY_PENALTY = 10.0


def squares(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes (N, 4) as squares (N, 4) with the same centres, their sides the longer sides of the boxes."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def targets(
    boxes: NDArray[np.float64], ignored: NDArray[np.float64], height: int, width: int, config: GridConfig
) -> NDArray[np.float32]:
    """Return the targets of one image.

    `plain`: the airplanes centred in a cell fill its slots, the one closest to the cell's centre first; those beyond
    the number of slots are left out. `swarm`: free slots then take airplanes from the periphery, which are centred
    outside of the cell, but within `cell_grow`; again the closest first. Slots still free repeat the others in turn,
    so that a lone airplane fills all slots of its cell, and of each cell that is empty and has it in its periphery.

    Targets are squares, see `squares`; sides of more than 256 px are targets of 256 px.

    Args:
        boxes: airplanes (N, 4), pixels of the image, corner origin.
        ignored: boxes (M, 4) to ignore: empty slots are not counted in cells that could be assigned the box, or whose
            centre lies in it.
        height: height of the image in pixels.
        width: width of the image, likewise.
        config: config of the detector.

    Returns:
        (h, w, boxes, 5), a cell for each `cell_px` pixels or part of them: x and y of the airplane's centre from the
        cell's, in half cells, its side as a share of 256 px (0 where there is no airplane), 1 where there is one, 1
        where counted.
    """
    rows, cols = -(-height // config.cell_px), -(-width // config.cell_px)
    target = np.zeros((rows, cols, config.boxes, CHANNELS), np.float32)
    target[..., COUNTED] = ~_ignored_cells(ignored, rows, cols, config)[..., None]
    offsets = _offsets(boxes, rows, cols, config)
    owner = _assign(offsets, config)
    row, col, slot = np.nonzero(owner >= 0)
    airplane = owner[row, col, slot]
    target[row, col, slot, POSITION] = offsets[row, col, airplane]
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    target[row, col, slot, SIZE] = np.minimum(side / TILE_PX, 1)[airplane]
    target[row, col, slot, PLANE] = target[row, col, slot, COUNTED] = 1
    return target


def _assign(offsets: NDArray[np.float64], config: GridConfig) -> NDArray[np.int64]:
    """Return the airplane of each slot (h, w, boxes), -1 for none, from offsets (h, w, N, 2)."""
    rows, cols = offsets.shape[:2]
    swarm = config.assignment == "swarm"
    distance = np.hypot(offsets[..., 0], offsets[..., 1])
    # Half-open, so that each airplane is centred in one cell.
    inside = ((offsets >= -1) & (offsets < 1)).all(axis=-1)
    near = (np.abs(offsets) <= config.cell_grow).all(axis=-1) & swarm
    rank = np.where(inside, distance, np.where(near, distance + _PERIPHERY_PENALTY, np.inf))
    candidates = np.isfinite(rank).sum(axis=2, keepdims=True)
    # Padded at infinite distance, for cells with fewer candidates than slots.
    order = np.argsort(np.pad(rank, ((0, 0), (0, 0), (0, config.boxes)), constant_values=np.inf), axis=2, kind="stable")
    index = np.broadcast_to(np.arange(config.boxes), (rows, cols, config.boxes))
    index = index % np.maximum(candidates, 1) if swarm else index
    return np.where(index < candidates, np.take_along_axis(order, index, axis=2), -1)


def _offsets(boxes: NDArray[np.float64], rows: int, cols: int, config: GridConfig) -> NDArray[np.float64]:
    """Return the offsets of boxes (N, 4) from cells, centre from centre: x and y (rows, cols, N, 2) in half cells."""
    x, y = _centres(rows, cols, config)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return (centres - np.stack([x, y], axis=-1)[:, :, None]) / (config.cell_px / 2)


def _ignored_cells(ignored: NDArray[np.float64], rows: int, cols: int, config: GridConfig) -> NDArray[np.bool_]:
    """Return which cells (rows, cols) could be assigned one of the boxes (M, 4) to ignore, or lie in one."""
    x, y = (centre[..., None] for centre in _centres(rows, cols, config))
    xmin, ymin, xmax, ymax = ignored.T
    over = (x > xmin) & (x < xmax) & (y > ymin) & (y < ymax)
    near = (np.abs(_offsets(ignored, rows, cols, config)) <= config.cell_grow).all(axis=-1)
    return np.asarray((over | near).any(axis=-1))


def _centres(rows: int, cols: int, config: GridConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres of cells: x and y (rows, cols), in pixels."""
    x, y = np.meshgrid((np.arange(cols) + 0.5) * config.cell_px, (np.arange(rows) + 0.5) * config.cell_px)
    return x, y


def grid_loss(target: Any, cells: Any, config: GridConfig) -> Any:
    """Return the loss of a batch, a scalar: the mean of its parts, weighted by `loss_weights`.

    Every part is divided by the number of counted slots, those without an airplane too: so the weights mean the same
    however many airplanes there are.

    Args:
        target: (B, h, w, boxes, 5), see `targets`.
        cells: raw cells (B, h, w, boxes, 5), see `model.detectors.grid.network.build`.
        config: config of the detector.
    """
    weighted = zip(config.loss_weights, parts(config).values(), strict=True)
    return sum(weight * part(target, cells) for weight, part in weighted) / sum(config.loss_weights)


def parts(config: GridConfig) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the parts of the loss by name, in the order of their weights, each a function of target and cells."""
    return {
        "plane": plane_loss,
        "position": functools.partial(position_loss, cell_grow=config.cell_grow),
        "size": size_loss,
    }


def plane_loss(target: Any, cells: Any) -> Any:
    """Return the cross-entropy of plane or not."""
    plane = ops.cast(target[..., PLANE], "int32")
    entropy = ops.sparse_categorical_crossentropy(plane, cells[..., network.LOGITS], from_logits=True)
    return _mean(entropy * target[..., COUNTED], target)


def position_loss(target: Any, cells: Any, cell_grow: float) -> Any:
    """Return the squared distance of centres in half cells, where there is a plane."""
    error = network.offsets(cells, cell_grow) - target[..., POSITION]
    return _mean(ops.sum(ops.square(error), axis=-1) * target[..., PLANE], target)


def size_loss(target: Any, cells: Any) -> Any:
    """Return the squared difference of sides as shares of 256 px, where there is a plane."""
    error = network.sizes(cells) - target[..., SIZE]
    return _mean(ops.square(error) * target[..., PLANE], target)


class GridLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras publishes no types
    """`grid_loss` as a Keras loss."""

    def __init__(self, config: GridConfig) -> None:
        super().__init__(name="grid_loss", reduction="sum_over_batch_size")
        self.config = config

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return `grid_loss` with an axis, without which Keras does not distribute a loss over devices."""
        return ops.expand_dims(grid_loss(y_true, y_pred, self.config), 0)


def _mean(values: Any, target: Any) -> Any:
    """Return the sum divided by the number of counted slots, at least 1."""
    return ops.sum(values) / ops.maximum(ops.sum(target[..., COUNTED]), 1.0)
