"""What training makes small: objectness that knows its overlap, and the generalised IoU of boxes."""

from typing import Any

import keras
from keras import ops

from model.detectors.anchor_free import assignment, decode

_LEAST_OBJECTNESS = 0.3  # an airplane is one even while its box is still bad
# An airplane's cells together weigh 1, and there are thousands that are none: more than a little, and fitting boxes is
# drowned out (0.5: best F1 on val fell from 0.961 to 0.938 within 38,400 crops).
_NEGATIVE_WEIGHT = 0.06
_BOX_WEIGHT = 2.0


def generalized_iou(a: Any, b: Any) -> tuple[Any, Any]:
    """Overlap of boxes, pair by pair: (IoU, GIoU) of (..., 4) and (..., 4); GIoU as in arXiv:1902.09630, eq. 1.

    GIoU = IoU - (hull - union) / hull, in -1..1; both 0 / 0-safe.
    """
    overlap = _area(ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - overlap
    hull = _area(ops.minimum(a[..., :2], b[..., :2]), ops.maximum(a[..., 2:], b[..., 2:]))
    iou = overlap / ops.maximum(union, 1e-6)
    return iou, iou - (hull - union) / ops.maximum(hull, 1e-6)


def detection_loss(target: Any, cells: Any) -> Any:
    """The loss of a batch, a number: objectness and boxes, see there.

    Args:
        target: (B, h, w, 6), see `model.detectors.anchor_free.assignment.targets`.
        cells: raw cells (B, h, w, 5), see `model.detectors.anchor_free.network.build`.
    """
    return objectness_loss(target, cells) + box_loss(target, cells)


def objectness_loss(target: Any, cells: Any) -> Any:
    """Binary cross-entropy over the number of airplanes.

    Positive cells are drawn towards the IoU of the box that they give now (as in VarifocalNet, arXiv:2008.13367), so
    that a score also tells how well the box fits; negative ones towards 0, weighted by their own score squared.
    Arguments as in `detection_loss`.
    """
    weight = target[..., assignment.POSITIVE]
    positive = ops.cast(weight > 0, "float32")
    negative = target[..., assignment.COUNTED] * (1 - positive)
    iou, _ = generalized_iou(decode.boxes(cells), target[..., assignment.BOX])
    wanted = positive * ops.maximum(ops.stop_gradient(iou), _LEAST_OBJECTNESS)
    score = ops.stop_gradient(decode.scores(cells))
    entropy = ops.binary_crossentropy(wanted, cells[..., 0], from_logits=True)
    return ops.sum((weight + negative * _NEGATIVE_WEIGHT * score**2) * entropy) / _airplanes(weight)


def box_loss(target: Any, cells: Any) -> Any:
    """1 - GIoU, weighted, over the number of airplanes; arguments as in `detection_loss`."""
    weight = target[..., assignment.POSITIVE]
    _, giou = generalized_iou(decode.boxes(cells), target[..., assignment.BOX])
    return _BOX_WEIGHT * ops.sum(weight * (1 - giou)) / _airplanes(weight)


class DetectionLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras publishes no types
    """`detection_loss` in the form that `fit` takes."""

    def __init__(self) -> None:
        super().__init__(name="detection_loss", reduction="sum_over_batch_size")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """See `detection_loss`.

        With an axis: Keras shares out a loss among devices only if it has one. Under TensorFlow each of several
        devices divides by the airplanes of its own crops.
        """
        return ops.expand_dims(detection_loss(y_true, y_pred), 0)


def _airplanes(weight: Any) -> Any:
    """How many airplanes a batch has, at least 1: the weights of an airplane's cells add up to 1."""
    return ops.maximum(ops.sum(weight), 1.0)


def _area(low: Any, high: Any) -> Any:
    sides = ops.maximum(high - low, 0.0)
    return sides[..., 0] * sides[..., 1]
