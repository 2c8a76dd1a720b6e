"""The detector as it stands in the middle of a training, on any Keras backend."""

import keras
import numpy as np

from geo.types import Detections, ImageArray
from model.detectors.anchor_free.decode import tile_detections
from model.detectors.registry import Decode


class LivePredictor:
    """A `Predictor` over a Keras model; its scores are the detector's own, not calibrated.

    Args:
        model: the detector.
        decode: makes boxes and scores of its cells, see `model.detectors.registry`.
        name: what it is called.
        min_score: detections below it are left out.
    """

    def __init__(self, model: keras.Model, decode: Decode, name: str, min_score: float) -> None:
        self.model = model
        self.decode = decode
        self.name = name
        self.default_min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        # Of several TensorFlow devices each answers for all images, and the answers come one after the other.
        cells = self.model.predict_on_batch(images)[: len(images)]
        boxes, scores = (np.asarray(keras.ops.convert_to_numpy(found)) for found in self.decode(cells))
        # Nearly all cells have some score before it is calibrated.
        least = self.default_min_score
        return [tile_detections(*found, least, least) for found in zip(boxes, scores, strict=True)]
