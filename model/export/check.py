"""Whether an export says what the Keras model says."""

from dataclasses import dataclass

import keras
import numpy as np

from geo.errors import FinderError
from geo.types import ImageArray
from model.detectors.registry import Decode
from model.export.signatures import Outputs
from model.inference.calibration import Calibration

_MOST_PX = 0.05
_MOST_SCORE = 1e-3
# Boxes of cells that score less are nobody's.
_LEAST_SCORE = 0.05


class ExportError(FinderError, RuntimeError):
    """An export that says something else than the model it was made of."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an export is from the Keras model, at most.

    Attributes:
        boxes_px: between sides of boxes of cells that score 0.05 or more, in pixels.
        scores: between scores, of all cells.
    """

    boxes_px: float
    scores: float


def keras_outputs(model: keras.Model, decode: Decode, calibration: Calibration | None, images: ImageArray) -> Outputs:
    """What an export should say: boxes (B, N, 4) and scores (B, N) of pictures (B, H, W, 3)."""
    decoded = decode(model(images.astype(np.float32), training=False))
    boxes, scores = (keras.ops.convert_to_numpy(output) for output in decoded)
    calibrated = scores if calibration is None else calibration.apply(scores, boxes)
    return boxes.reshape(len(images), -1, 4), calibrated.reshape(len(images), -1)


def difference(found: Outputs, wanted: Outputs) -> Difference:
    """Compares boxes and scores. Where no cell scores 0.05, the box of the one that scores most is compared."""
    boxes, scores = wanted
    compared = scores >= min(_LEAST_SCORE, scores.max())
    return Difference(
        boxes_px=float(np.abs(found[0][compared] - boxes[compared]).max()),
        scores=float(np.abs(found[1] - scores).max()),
    )


def check(name: str, of: Difference) -> None:
    """Refuses an export that is too far from the Keras model.

    Raises:
        ExportError: it is farther than 0.05 px or 0.001 of score, or says something that is no number.
    """
    if not (of.boxes_px <= _MOST_PX and of.scores <= _MOST_SCORE):
        raise ExportError(
            f"{name}: expected boxes within {_MOST_PX} px and scores within {_MOST_SCORE} of the Keras model, got "
            f"{of.boxes_px:.3g} px and {of.scores:.3g}: nothing was written, report this with the versions of your "
            "packages"
        )
