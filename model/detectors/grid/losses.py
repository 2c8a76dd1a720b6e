"""What the training of the detector on a grid makes small: plane or not, position and size, weighted."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from model.detectors.grid import assignment, decode
from model.detectors.grid.network import GridConfig


def grid_loss(target: Any, cells: Any, config: GridConfig) -> Any:
    """The loss of a batch, a number: the mean of its parts by `loss_weights`.

    Every part is over the number of slots that are counted, those without an airplane too: so the weights mean the same
    however many airplanes there are.

    Args:
        target: (B, h, w, boxes, 5), see `model.detectors.grid.assignment.targets`.
        cells: raw cells (B, h, w, boxes, 5), see `model.detectors.grid.network.build`.
        config: of the detector.
    """
    weighed = zip(config.loss_weights, parts(config).values(), strict=True)
    return sum(weight * part(target, cells) for weight, part in weighed) / sum(config.loss_weights)


def parts(config: GridConfig) -> dict[str, Callable[[Any, Any], Any]]:
    """The parts of the loss by name, in the order of their weights, each of target and cells as in `grid_loss`."""
    return {
        "plane": plane_loss,
        "position": functools.partial(position_loss, cell_grow=config.cell_grow),
        "size": size_loss,
    }


def plane_loss(target: Any, cells: Any) -> Any:
    """Cross-entropy of no plane or plane."""
    plane = ops.cast(target[..., assignment.PLANE], "int32")
    entropy = ops.sparse_categorical_crossentropy(plane, cells[..., decode.LOGITS], from_logits=True)
    return _mean(entropy * target[..., assignment.COUNTED], target)


def position_loss(target: Any, cells: Any, cell_grow: float) -> Any:
    """Squared distance of centres in half cells, where there is a plane."""
    away = decode.offsets(cells, cell_grow) - target[..., assignment.POSITION]
    return _mean(ops.sum(ops.square(away), axis=-1) * target[..., assignment.PLANE], target)


def size_loss(target: Any, cells: Any) -> Any:
    """Squared difference of sides as shares of 256 px, where there is a plane."""
    larger = decode.sizes(cells) - target[..., assignment.SIZE]
    return _mean(ops.square(larger) * target[..., assignment.PLANE], target)


class GridLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras publishes no types
    """`grid_loss` in the form that `fit` takes."""

    def __init__(self, config: GridConfig) -> None:
        super().__init__(name="grid_loss", reduction="sum_over_batch_size")
        self.config = config

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """See `grid_loss`; with an axis, without which Keras shares out no loss among devices."""
        return ops.expand_dims(grid_loss(y_true, y_pred, self.config), 0)


def _mean(values: Any, target: Any) -> Any:
    """The sum over the number of slots that are counted, at least 1."""
    return ops.sum(values) / ops.maximum(ops.sum(target[..., assignment.COUNTED]), 1.0)
