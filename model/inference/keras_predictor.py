"""A Keras model as a predictor, on any backend: for the detector in training."""

import keras
import numpy as np

from geo.types import Detections, ImageArray
from model.detectors.registry import Decode
from model.inference.cells import tile_detections


class KerasPredictor:
    """A `Predictor` over a Keras model, with raw scores.

    Args:
        model: The detector.
        decode: Decodes its cells, see `model.detectors.registry`.
        name: Of the model.
        min_score: Detections below it are left out.
    """

    def __init__(self, model: keras.Model, decode: Decode, name: str, min_score: float) -> None:
        self.model = model
        self.decode = decode
        self.name = name
        self.default_min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        # On several TensorFlow devices each computes all images, and their outputs are concatenated.
        cells = self.model.predict_on_batch(images)[: len(images)]
        boxes, scores = (np.asarray(keras.ops.convert_to_numpy(output)) for output in self.decode(cells))
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_score = self.default_min_score
        return [tile_detections(*cells, min_score, min_score) for cells in zip(boxes, scores, strict=True)]
