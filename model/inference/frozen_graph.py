"""The detector as a frozen TensorFlow graph: TensorFlow's fastest way to run it on a CPU."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from geo.types import ImageArray
from model.detectors import registry
from model.inference import model_folder, weights_io
from model.inference.calibration import Calibration
from model.inference.cells import MIN_VOTE, CellPredictor
from model.inference.engine import Precision


class FrozenPredictor(CellPredictor):
    """A packaged model or a model folder in TensorFlow; see `model.inference.predictor.load_predictor`.

    Attributes:
        graph: see `freeze`.
    """

    def __init__(
        self, name_or_path: str, batch_size: int, min_score: float, calibrated: bool, precision: Precision
    ) -> None:
        allow_memory_growth()
        model, config = weights_io.load(model_folder.resolve(name_or_path), precision)
        calibration = config.calibration if calibrated else None
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_vote = min_score if calibration is None else MIN_VOTE
        self.graph = freeze(model, registry.get(config.detector).decode, calibration)
        super().__init__(config.version, config.min_score, self._run, batch_size, min_score, min_vote)

    def _run(self, images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self.graph(tf.constant(images))
        return boxes.numpy(), scores.numpy()


def allow_memory_growth() -> None:
    """Let TensorFlow allocate GPU memory as needed, not all at once; to be called before it allocates any."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def freeze(model: Any, decode: registry.Decode, calibration: Calibration | None) -> Any:
    """Build a graph of constants: pixels uint8 (B, H, W, 3) to boxes (B, h, w, ..., 4) and scores (B, h, w, ...).

    Args:
        model: the detector.
        decode: decodes its cells, see `model.detectors.registry`.
        calibration: calibration of its scores; None leaves them raw.
    """

    def detect(pixels: Any) -> tuple[Any, Any]:
        boxes, scores = decode(model(tf.cast(pixels, tf.float32), training=False))
        return boxes, scores if calibration is None else calibration.apply(scores, boxes, keras.ops)

    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")
    return convert_variables_to_constants_v2(tf.function(detect, autograph=False).get_concrete_function(pixels))
