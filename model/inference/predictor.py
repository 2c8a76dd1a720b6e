"""Pixels to detections: what the pipeline and the evaluation ask of a model, whatever runs it."""

from pathlib import Path
from typing import Protocol

import numpy as np

from geo.errors import ConfigError
from geo.types import Detections, ImageArray
from model.inference.precision import Precision


class Predictor(Protocol):
    """Finds airplanes in pictures of one size.

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
        """Finds airplanes.

        Args:
            images: RGB (B, H, W, 3), H and W multiples of 32.

        Returns:
            For each picture its detections, in its pixels (not clipped to it), resolution NaN.
        """


def load_predictor(
    name_or_path: str,
    batch_size: int,
    min_score: float,
    *,
    precision: Precision = "float32",
    calibrated: bool = True,
    trusted: bool = False,
) -> Predictor:
    """Loads a model into TensorFlow.

    Args:
        name_or_path: name of a packaged model, a model folder, or a SavedModel (see `model.inference.saved_model`).
        batch_size: every batch is filled up to this many pictures, so that results do not depend on how many come.
        min_score: detections below it are left out.
        precision: what it computes in; a SavedModel computes in what it was made for.
        calibrated: whether scores are probabilities, by the model's calibration; else they are the detector's own.
        trusted: a SavedModel may be loaded, although it can run code; a model folder cannot.

    Raises:
        WeightsError: no such model, a damaged one, or a SavedModel without a signature that fits.
        ConfigError: its config is damaged, or a SavedModel is not trusted or asked for scores that it does not give.
    """
    # These bring TensorFlow: only where it is used.
    if is_saved_model(name_or_path):
        check_trusted(name_or_path, trusted)
        _check_calibrated(name_or_path, calibrated)
        from model.inference.saved_model import SavedModelPredictor

        return SavedModelPredictor(Path(name_or_path), batch_size, min_score)
    from model.inference.frozen_graph import FrozenPredictor

    return FrozenPredictor(name_or_path, batch_size, min_score, calibrated, precision)


def is_saved_model(name_or_path: str) -> bool:
    """Says whether this is the folder of a SavedModel."""
    return (Path(name_or_path) / "saved_model.pb").is_file()


def check_trusted(path: str, trusted: bool) -> None:
    """Refuses a SavedModel that is not trusted.

    Raises:
        ConfigError: it is not.
    """
    if not trusted:
        raise ConfigError(
            f"model {path}: a SavedModel can run code when it is loaded: add --trust-model if you trust its source"
        )


def _check_calibrated(path: str, calibrated: bool) -> None:
    if not calibrated:
        raise ConfigError(f"model {path}: expected a model folder to calibrate, got a SavedModel, which is as it is")


class FakePredictor:
    """A detector for tests: every bright rectangle on a dark ground is an airplane; its red level is its score."""

    name = "fake@000000000000"
    default_min_score = 0.5

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        return [self._find(image) for image in images]

    def _find(self, image: ImageArray) -> Detections:
        from scipy import ndimage

        labels, _ = ndimage.label(image[..., 0] >= 128)
        slices = [found for found in ndimage.find_objects(labels) if found is not None]
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], np.float64).reshape(-1, 4)
        scores = np.array([image[..., 0][found].max() / 255 for found in slices], np.float64)
        return Detections(boxes, scores, np.full(len(boxes), np.nan))
