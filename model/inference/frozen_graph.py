"""The detector as a frozen TensorFlow graph: TensorFlow's fastest way to run it on a CPU."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from geo.types import Detections, ImageArray
from model.detectors import registry
from model.detectors.anchor_free.decode import MIN_VOTE, tile_detections
from model.inference import weights_io
from model.inference.calibration import Calibration
from model.inference.precision import Precision


class GraphPredictor:
    """A `Predictor` over a TensorFlow function from pixels to the boxes and scores of cells.

    Args:
        name: Of the model, with its digest.
        default_min_score: The score from which a detection counts as an airplane.
        graph: Pixels uint8 (B, H, W, 3) to boxes (B, ..., 4) in pixels and calibrated scores (B, ...), float32.
        batch_size: Every batch is padded to this many images.
        min_score: Detections below it are left out.
        min_vote: See `model.detectors.anchor_free.decode.tile_detections`.
    """

    def __init__(
        self,
        name: str,
        default_min_score: float,
        graph: Any,
        batch_size: int,
        min_score: float,
        min_vote: float = MIN_VOTE,
    ) -> None:
        self.name = name
        self.default_min_score = default_min_score
        self.graph = graph
        self.batch_size = batch_size
        self.min_score = min_score
        self.min_vote = min_vote

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        return [
            detections
            for start in range(0, len(images), self.batch_size)
            for detections in self._predict_batch(images[start : start + self.batch_size])
        ]

    def _predict_batch(self, images: ImageArray) -> list[Detections]:
        missing = self.batch_size - len(images)
        padded = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
        boxes, scores = (output.numpy() for output in self.graph(tf.constant(padded)))
        return [
            tile_detections(*cells, self.min_score, self.min_vote)
            for cells in zip(boxes[: len(images)], scores[: len(images)], strict=True)
        ]


class FrozenPredictor(GraphPredictor):
    """A packaged model or a model folder; see `model.inference.predictor.load_predictor`."""

    def __init__(
        self, name_or_path: str, batch_size: int, min_score: float, calibrated: bool, precision: Precision
    ) -> None:
        allow_memory_growth()
        model, config = weights_io.load(weights_io.resolve(name_or_path), precision)
        calibration = config.calibration if calibrated else None
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_vote = min_score if calibration is None else MIN_VOTE
        graph = freeze(model, registry.get(config.detector).decode, calibration)
        super().__init__(config.version, config.min_score, graph, batch_size, min_score, min_vote)


def allow_memory_growth() -> None:
    """Let TensorFlow allocate GPU memory as needed, not all at once; to be called before it allocates any."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def freeze(model: Any, decode: registry.Decode, calibration: Calibration | None) -> Any:
    """Build a graph of constants: pixels uint8 (B, H, W, 3) to boxes (B, h, w, ..., 4) and scores (B, h, w, ...).

    Args:
        model: The detector.
        decode: Decodes its cells, see `model.detectors.registry`.
        calibration: Of its scores; None leaves them raw.
    """

    def detect(pixels: Any) -> tuple[Any, Any]:
        boxes, scores = decode(model(tf.cast(pixels, tf.float32), training=False))
        return boxes, scores if calibration is None else calibration.apply(scores, boxes, keras.ops)

    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")
    return convert_variables_to_constants_v2(tf.function(detect, autograph=False).get_concrete_function(pixels))
