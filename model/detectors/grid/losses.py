"""The loss of the detector on a grid: plane or not, position and size, weighted."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from model.detectors.config import GridConfig
from model.detectors.grid import assignment, network


def grid_loss(target: Any, cells: Any, config: GridConfig) -> Any:
    """Return the loss of a batch, a scalar: the mean of its parts, weighted by `loss_weights`.

    Every part is divided by the number of counted slots, those without an airplane too: so the weights mean the same
    however many airplanes there are.

    Args:
        target: (B, h, w, boxes, 5), see `model.detectors.grid.assignment.targets`.
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
    plane = ops.cast(target[..., assignment.PLANE], "int32")
    entropy = ops.sparse_categorical_crossentropy(plane, cells[..., network.LOGITS], from_logits=True)
    return _mean(entropy * target[..., assignment.COUNTED], target)


def position_loss(target: Any, cells: Any, cell_grow: float) -> Any:
    """Return the squared distance of centres in half cells, where there is a plane."""
    error = network.offsets(cells, cell_grow) - target[..., assignment.POSITION]
    return _mean(ops.sum(ops.square(error), axis=-1) * target[..., assignment.PLANE], target)


def size_loss(target: Any, cells: Any) -> Any:
    """Return the squared difference of sides as shares of 256 px, where there is a plane."""
    error = network.sizes(cells) - target[..., assignment.SIZE]
    return _mean(ops.square(error) * target[..., assignment.PLANE], target)


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
    return ops.sum(values) / ops.maximum(ops.sum(target[..., assignment.COUNTED]), 1.0)
