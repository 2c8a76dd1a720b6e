"""The detector as a frozen TensorFlow graph: TensorFlow's fastest way to run it on a CPU.

Building it takes Keras and more than a second; the pipeline keeps it in the cache, and then needs TensorFlow alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from geo.types import ImageArray
from model.common.logs import reveal_package
from model.inference import model_folder
from model.inference.calibration import Calibration
from model.inference.cells import MIN_VOTE, CellPredictor, Engine
from model.inference.engine import Precision
from model.inference.engine_cache import graph_file, read_or_make

if TYPE_CHECKING:
    from model.detectors import registry


class FrozenPredictor(CellPredictor):
    """A packaged model or a model folder in TensorFlow; see `model.inference.predictor.load_predictor`."""

    def __init__(
        self,
        name_or_path: str,
        batch_size: int,
        min_score: float,
        calibrated: bool,
        precision: Precision,
        cached: bool = False,
    ) -> None:
        allow_memory_growth()
        folder = model_folder.resolve(name_or_path)
        config = model_folder.read_config(folder)
        calibrated = calibrated and config.calibration is not None
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_vote = MIN_VOTE if calibrated else min_score
        file = graph_file(folder, config, calibrated, precision)

        def make() -> bytes:
            return _to_bytes(build(folder, calibrated, precision))

        engine = _session_engine(read_or_make(file, make) if cached else make())
        super().__init__(config.version, config.min_score, engine, batch_size, min_score, min_vote, fills_batches=True)


def allow_memory_growth() -> None:
    """Let TensorFlow allocate GPU memory as needed, not all at once; to be called before it allocates any."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def build(folder: Path, calibrated: bool, precision: Precision) -> Any:
    """Build the graph of a model folder, see `freeze`.

    Raises:
        WeightsError: the weights are of another network.
    """
    # Hidden by a run that has seen the graph in the cache, from where it has vanished since.
    reveal_package("keras")
    from model.detectors import registry
    from model.inference import weights_io

    model, config = weights_io.load(folder, precision)
    return freeze(model, registry.get(config.detector).decode, config.calibration if calibrated else None)


def freeze(model: Any, decode: "registry.Decode", calibration: Calibration | None) -> Any:
    """Build a graph of constants: pixels uint8 (B, H, W, 3) to boxes (B, h, w, ..., 4) and scores (B, h, w, ...).

    Args:
        model: the detector.
        decode: decodes its cells, see `model.detectors.registry`.
        calibration: calibration of its scores; None leaves them raw.
    """
    import keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def detect(pixels: Any) -> tuple[Any, Any]:
        boxes, scores = decode(model(tf.cast(pixels, tf.float32), training=False))
        return boxes, scores if calibration is None else calibration.apply(scores, boxes, keras.ops)

    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")
    return convert_variables_to_constants_v2(tf.function(detect, autograph=False).get_concrete_function(pixels))


def _to_bytes(graph: Any) -> bytes:
    """Return a graph of `freeze` as a line with the names of its input and outputs, and its definition."""
    names = " ".join(tensor.name for tensor in (*graph.inputs, *graph.outputs))
    return bytes(names.encode() + b"\n" + graph.graph.as_graph_def().SerializeToString())


def _session_engine(content: bytes) -> Engine:
    """Return the engine that runs a graph of `_to_bytes`.

    A session starts it 0.4 s sooner than a function does, and computes the same.
    """
    names, definition = content.split(b"\n", 1)
    pixels, *outputs = names.decode().split()
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(definition), name="")
    session = tf.compat.v1.Session(graph=graph)

    def run(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = session.run(outputs, {pixels: images})
        return boxes, scores

    return run
