"""The detector in LiteRT, TensorFlow's small runtime: the engine for CPUs.

LiteRT starts in a second, where TensorFlow takes ten, and is faster on CPUs without bfloat16 instructions. It runs a
flatbuffer that TensorFlow converts from the frozen graph, once: a cache keeps it for the next run.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from geo.types import ImageArray
from model.common.logs import hold_stderr
from model.inference import model_folder
from model.inference.cells import MIN_VOTE, CellPredictor
from model.inference.engine_cache import flatbuffer_file, read_or_make
from model.inference.model_folder import ModelConfig

# Of the images for which interpreters are kept, all shapes together: one of the largest tiles, or several smaller ones.
_MAX_PIXELS = 4_000_000


class LitertPredictor(CellPredictor):
    """A packaged model or a model folder in LiteRT, in float32; see `model.inference.predictor.load_predictor`."""

    def __init__(self, name_or_path: str, min_score: float, calibrated: bool) -> None:
        folder = model_folder.resolve(name_or_path)
        config = model_folder.read_config(folder)
        calibrated = calibrated and config.calibration is not None
        engine = LitertEngine(load_flatbuffer(folder, config, calibrated))
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_vote = MIN_VOTE if calibrated else min_score
        super().__init__(config.version, config.min_score, engine, 1, min_score, min_vote)


class LitertEngine:
    """Runs a flatbuffer on images one by one, with all cores for each.

    Args:
        flatbuffer: see `model.inference.convert.to_flatbuffer`.
    """

    def __init__(self, flatbuffer: bytes) -> None:
        self._flatbuffer = flatbuffer
        # By shape, the last used ones at the end.
        self._interpreters: OrderedDict[tuple[int, ...], Interpreter] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes (B, h, w, ..., 4) in pixels and scores (B, h, w, ...) of images (B, H, W, 3)."""
        with self._lock:
            boxes, scores = zip(*(self._run(image) for image in images), strict=True)
        return np.stack(boxes), np.stack(scores)

    def _run(self, image: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        interpreter = self._interpreters.pop(image.shape, None) or self._prepare(image.shape)
        self._interpreters[image.shape] = interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        boxes, scores = (interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details())
        return boxes, scores

    def _prepare(self, shape: tuple[int, ...]) -> Interpreter:
        """Return an interpreter for images of one shape: allocating its tensors takes too long to do for each.

        Others are dropped until the pixels of all are below the limit: a megapixel takes some 190 MB.
        """
        pixels = shape[0] * shape[1]
        while self._interpreters and pixels + sum(h * w for h, w, _ in self._interpreters) > _MAX_PIXELS:
            self._interpreters.popitem(last=False)
        with hold_stderr():  # it announces its delegate
            interpreter = Interpreter(model_content=self._flatbuffer, num_threads=len(os.sched_getaffinity(0)))
            interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (1, *shape))
            interpreter.allocate_tensors()
        return interpreter


def load_flatbuffer(folder: Path, config: ModelConfig, calibrated: bool) -> bytes:
    """Return the flatbuffer of a model, from the cache or converted.

    Raises:
        WeightsError: the weights are damaged, or of another network.
    """
    return read_or_make(flatbuffer_file(folder, config, calibrated), lambda: _convert(folder, calibrated))


def _convert(folder: Path, calibrated: bool) -> bytes:
    """Convert a model in a process of its own, so that this one needs neither TensorFlow nor its memory."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "model.tflite"
        command = [sys.executable, "-m", "model.inference.convert", str(folder.resolve()), str(output), str(calibrated)]
        process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])  # noqa: S603
        if not output.is_file():
            lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
            raise model_folder.WeightsError(f"{folder}: expected a model that converts to LiteRT: {lines[-1]}")
        return output.read_bytes()
