"""The detector as a frozen TensorFlow graph: the fastest way to run it that TensorFlow has on a CPU."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from geo.types import Detections, ImageArray
from model import decode, weights_io


class FrozenPredictor:
    """A `Predictor` over a packaged model or a model folder; see `model.predictor.load_predictor`."""

    def __init__(self, name_or_path: str, batch_size: int, min_score: float) -> None:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        model, config = weights_io.load(weights_io.resolve(name_or_path))
        self.name = config.version
        self.default_min_score = config.min_score
        self.batch_size = batch_size
        self.min_score = min_score
        self.graph = freeze(model)

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        return [
            found
            for start in range(0, len(images), self.batch_size)
            for found in self._batch(images[start : start + self.batch_size])
        ]

    def _batch(self, images: ImageArray) -> list[Detections]:
        missing = self.batch_size - len(images)
        padded = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
        boxes, scores = (output.numpy() for output in self.graph(tf.constant(padded)))
        return [self._detections(*found) for found in zip(boxes[: len(images)], scores[: len(images)], strict=True)]

    def _detections(self, boxes: Any, scores: Any) -> Detections:
        chosen = scores >= self.min_score
        return decode.tile_detections(boxes[chosen].astype(np.float64), scores[chosen].astype(np.float64))


def freeze(model: Any) -> Any:
    """A graph of constants: pixels uint8 (B, H, W, 3) to boxes (B, h, w, 4) and scores (B, h, w), float32."""

    def detect(pixels: Any) -> tuple[Any, Any]:
        cells = model(tf.cast(pixels, tf.float32), training=False)
        return decode.boxes(cells), decode.scores(cells)

    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")
    return convert_variables_to_constants_v2(tf.function(detect).get_concrete_function(pixels))
