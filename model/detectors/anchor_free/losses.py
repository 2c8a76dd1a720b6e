"""The loss of the anchor-free detector: truth boxes to training targets, IoU-aware objectness, generalised IoU.

Targets are assigned in NumPy, before a batch reaches the device; the loss is computed on the device.
"""

from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from model.detectors.anchor_free.network import OUTPUT_STRIDE, decode_boxes, decode_scores

# Channels of a target.
BOX: Final = slice(0, 4)
POSITIVE: Final = 4
COUNTED: Final = 5
CHANNELS: Final = 6
# How far from an airplane's centre its cells may lie, in cells: a share of its shorter side, within bounds.
_RADIUS_SHARE = 0.18
_MIN_RADIUS = 0.75
_MAX_RADIUS = 4.0
_MIN_OBJECTNESS = 0.3  # the target of a positive cell while its box is still bad
# An airplane's cells together weigh 1, and there are thousands of negative ones: a larger weight drowns out the boxes
# (0.5: best F1 on val fell from 0.961 to 0.938 within 38,400 crops).
_NEGATIVE_WEIGHT = 0.06
_BOX_WEIGHT = 2.0


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


def generalized_iou(a: Any, b: Any) -> tuple[Any, Any]:
    """Return (IoU, GIoU) of boxes (..., 4) and (..., 4), pair by pair.

    GIoU = IoU - (hull - union) / hull, in -1..1 (arXiv:1902.09630, eq. 1); empty boxes do not divide by zero.
    """
    overlap = _area(ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - overlap
    hull = _area(ops.minimum(a[..., :2], b[..., :2]), ops.maximum(a[..., 2:], b[..., 2:]))
    iou = overlap / ops.maximum(union, 1e-6)
    return iou, iou - (hull - union) / ops.maximum(hull, 1e-6)


def detection_loss(target: Any, cells: Any) -> Any:
    """Return the loss of a batch, a scalar: `objectness_loss` plus `box_loss`.

    Args:
        target: (B, h, w, 6), see `targets`.
        cells: raw cells (B, h, w, 5), see `model.detectors.anchor_free.network.build`.
    """
    return objectness_loss(target, cells) + box_loss(target, cells)


def objectness_loss(target: Any, cells: Any) -> Any:
    """Return the binary cross-entropy of objectness, divided by the number of airplanes.

    The target of a positive cell is the IoU of its current box (as in VarifocalNet, arXiv:2008.13367), so that a score
    also tells how well the box fits; that of a negative one is 0, weighted by its own score squared. Arguments as in
    `detection_loss`.
    """
    weight = target[..., POSITIVE]
    positive = ops.cast(weight > 0, "float32")
    negative = target[..., COUNTED] * (1 - positive)
    iou, _ = generalized_iou(decode_boxes(cells), target[..., BOX])
    quality = positive * ops.maximum(ops.stop_gradient(iou), _MIN_OBJECTNESS)
    score = ops.stop_gradient(decode_scores(cells))
    entropy = ops.binary_crossentropy(quality, cells[..., 0], from_logits=True)
    return ops.sum((weight + negative * _NEGATIVE_WEIGHT * score**2) * entropy) / _airplane_count(weight)


def box_loss(target: Any, cells: Any) -> Any:
    """Return the weighted sum of 1 - GIoU, divided by the number of airplanes; arguments as in `detection_loss`."""
    weight = target[..., POSITIVE]
    _, giou = generalized_iou(decode_boxes(cells), target[..., BOX])
    return _BOX_WEIGHT * ops.sum(weight * (1 - giou)) / _airplane_count(weight)


class DetectionLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras publishes no types
    """`detection_loss` as a Keras loss."""

    def __init__(self) -> None:
        super().__init__(name="detection_loss", reduction="sum_over_batch_size")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return `detection_loss` with an axis, without which Keras does not distribute a loss over devices.

        Under TensorFlow each of several devices divides by the airplanes of its own crops.
        """
        return ops.expand_dims(detection_loss(y_true, y_pred), 0)


def _airplane_count(weight: Any) -> Any:
    """Return the airplanes of a batch, at least 1: the weights of an airplane's cells add up to 1."""
    return ops.maximum(ops.sum(weight), 1.0)


def _area(low: Any, high: Any) -> Any:
    sides = ops.maximum(high - low, 0.0)
    return sides[..., 0] * sides[..., 1]
