"""Predictors: pixels to detections, whatever runs the model."""

from pathlib import Path
from typing import Protocol

import numpy as np

from geo.errors import ConfigError
from geo.types import Detections, ImageArray
from model.common.logs import hold_stderr
from model.inference.engine import Engine, Precision, resolve_engine, resolve_precision

#: Small images are put together in batches of up to so many pixels, and so many images.
_SMALL_BATCH_PX = 1_000_000
_SMALL_BATCH = 16


def images_per_batch(height: int, width: int, batch_size: int) -> int:
    """Return how many images of one size the model runs on at once.

    Small ones do not fill a processor with work one by one. The number follows from their size alone, not from how many
    there are, since results differ in the last bits between batch sizes.

    Args:
        height: of an image, pixels.
        width: of an image, pixels.
        batch_size: of large images, at least 1.
    """
    return max(batch_size, min(_SMALL_BATCH, _SMALL_BATCH_PX // (height * width)))


class Predictor(Protocol):
    """A detector of airplanes in images of one size.

    Attributes:
        name: the model's name and the first 12 characters of its weights' sha256: `name@0123456789ab`.
        default_min_score: the score from which a detection counts as an airplane.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def default_min_score(self) -> float:
        """See the class."""

    def __call__(self, images: ImageArray) -> list[Detections]:
        """Detect airplanes.

        Args:
            images: RGB uint8 (B, H, W, 3), H and W multiples of 32.

        Returns:
            For each image its detections, in its pixels (not clipped to it), resolution NaN.
        """


def load_predictor(
    name_or_path: str,
    batch_size: int,
    min_score: float,
    *,
    precision: Precision = "float32",
    engine: Engine = "tensorflow",
    calibrated: bool = True,
    trusted: bool = False,
    cached: bool = False,
) -> Predictor:
    """Load a model into an engine.

    Args:
        name_or_path: name of a packaged model, a model folder, or a SavedModel (see `model.inference.saved_model`).
        batch_size: every batch is padded to this many images, so that results do not depend on their number.
        min_score: detections below it are left out.
        precision: number format of the computation; a SavedModel keeps its own.
        engine: runtime of the model; see `model.inference.engine.resolve_engine`.
        calibrated: whether scores are calibrated probabilities; else they are the detector's raw scores.
        trusted: whether a SavedModel may be loaded, which can run code; a model folder cannot.
        cached: whether TensorFlow's graph comes from the cache and goes there, as LiteRT's flatbuffer always does.

    Raises:
        WeightsError: no such model, a damaged one, or a SavedModel without the right signature.
        ConfigError: its config is damaged, the engine cannot run it, or a SavedModel is not trusted or has no raw
            scores.
    """
    resolved = resolve_engine(engine, resolve_precision(precision), is_saved_model(name_or_path))
    # Imported late: they import TensorFlow, which writes to stderr whatever its settings are, or LiteRT.
    if is_saved_model(name_or_path):
        check_trusted(name_or_path, trusted)
        if not calibrated:
            raise ConfigError(f"model {name_or_path}: expected a model folder for raw scores, got a SavedModel")
        with hold_stderr():
            from model.inference.saved_model import SavedModelPredictor

        return SavedModelPredictor(Path(name_or_path), batch_size, min_score)
    if resolved == "litert":
        from model.inference.litert import LitertPredictor

        return LitertPredictor(name_or_path, min_score, calibrated)
    with hold_stderr():
        from model.inference.frozen_graph import FrozenPredictor

    return FrozenPredictor(name_or_path, batch_size, min_score, calibrated, precision, cached)


def is_saved_model(name_or_path: str) -> bool:
    """Return whether this is the folder of a SavedModel."""
    return (Path(name_or_path) / "saved_model.pb").is_file()


def check_trusted(path: str, trusted: bool) -> None:
    """Refuse a SavedModel that is not trusted.

    Raises:
        ConfigError: the model is not trusted.
    """
    if not trusted:
        raise ConfigError(
            f"model {path}: a SavedModel can run code when it is loaded: add --trust-model if you trust its source"
        )


class FakePredictor:
    """A detector for tests: every bright rectangle on dark ground is an airplane, its score the red level."""

    name = "fake@000000000000"
    default_min_score = 0.5

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        return [self._detect(image) for image in images]

    def _detect(self, image: ImageArray) -> Detections:
        from scipy import ndimage

        labels, _ = ndimage.label(image[..., 0] >= 128)
        slices = [rectangle for rectangle in ndimage.find_objects(labels) if rectangle is not None]
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], np.float64).reshape(-1, 4)
        scores = np.array([image[..., 0][rectangle].max() / 255 for rectangle in slices], np.float64)
        return Detections(boxes, scores, np.full(len(boxes), np.nan))
