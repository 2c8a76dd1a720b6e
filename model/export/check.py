"""Check of an export against the Keras model, on tiles with airplanes."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError, FinderError
from geo.types import ImageArray
from model import synthetic
from model.data import sources
from model.detectors.registry import Decode
from model.export.formats import Outputs
from model.inference.calibration import Calibration

_MAX_DIFFERENCE_PX = 0.05
_MAX_DIFFERENCE_SCORE = 1e-3
# Boxes of cells with lower scores are not compared.
_MIN_SCORE = 0.05
# A scene of this size has an airport with airplanes.
_SCENE_PX = 2048


class ExportError(FinderError, RuntimeError):
    """An export whose outputs differ from those of its model."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest differences between an export and the Keras model.

    Attributes:
        boxes_px: between sides of boxes of cells with a score of 0.05 or more, in pixels.
        scores: between scores of all cells.
    """

    boxes_px: float
    scores: float


def keras_outputs(model: keras.Model, decode: Decode, calibration: Calibration | None, images: ImageArray) -> Outputs:
    """Return boxes (B, N, 4) and scores (B, N) of the Keras model for images (B, H, W, 3)."""
    decoded = decode(model(images.astype(np.float32), training=False))
    boxes, scores = (keras.ops.convert_to_numpy(output) for output in decoded)
    calibrated = scores if calibration is None else calibration.apply(scores, boxes)
    return boxes.reshape(len(images), -1, 4), calibrated.reshape(len(images), -1)


def compare(outputs: Outputs, expected: Outputs) -> Difference:
    """Compare boxes and scores. If no cell scores 0.05, the box of the highest score is compared."""
    (boxes, scores), (expected_boxes, expected_scores) = outputs, expected
    compared = expected_scores >= min(_MIN_SCORE, expected_scores.max())
    return Difference(
        boxes_px=float(np.abs(boxes[compared] - expected_boxes[compared]).max()),
        scores=float(np.abs(scores - expected_scores).max()),
    )


def check(name: str, difference: Difference) -> None:
    """Check that an export is close enough to the Keras model.

    Raises:
        ExportError: an output differs by more than 0.05 px or 0.001 of score, or has NaN.
    """
    if not (difference.boxes_px <= _MAX_DIFFERENCE_PX and difference.scores <= _MAX_DIFFERENCE_SCORE):
        raise ExportError(
            f"{name}: expected boxes within {_MAX_DIFFERENCE_PX} px and scores within {_MAX_DIFFERENCE_SCORE} of the "
            f"Keras model, got {difference.boxes_px:.3g} px and {difference.scores:.3g}: nothing was written, report "
            "this with the versions of your packages"
        )


def read_tiles(data: Path, sets: Sequence[str], count: int, side_px: int) -> ImageArray:
    """Read tiles with airplanes from data sets, or render a scene if the data does not exist.

    Args:
        data: folder of the data sets.
        sets: names of the sets, from whose test images tiles are cut.
        count: tiles per set, at most.
        side_px: side of a tile.

    Returns:
        Tiles (B, side, side, 3).

    Raises:
        ConfigError: the data exists, but lacks one of the sets, or a set has no airplanes.
        RasterError: an image cannot be read.
    """
    if not data.is_dir():
        return _render_tiles(count * len(sets), side_px)
    return np.concatenate([_read_set(data / name, count, side_px) for name in sets])


def crop_around(pixels: ImageArray, box: NDArray[np.float64], side_px: int) -> ImageArray:
    """Cut a tile around a box.

    Args:
        pixels: image (H, W, 3).
        box: xmin, ymin, xmax, ymax in its pixels.
        side_px: side of the tile.

    Returns:
        (side, side, 3) with the box in the middle, unless it is near the image's edge; black where the image is
        smaller.
    """
    max_origin = np.maximum(np.array(pixels.shape[1::-1]) - side_px, 0)
    x, y = np.clip(np.round((box[:2] + box[2:] - side_px) / 2), 0, max_origin).astype(int)
    crop = pixels[y : y + side_px, x : x + side_px]
    return np.pad(crop, ((0, side_px - crop.shape[0]), (0, side_px - crop.shape[1]), (0, 0)))


def _render_tiles(count: int, side_px: int) -> ImageArray:
    with tempfile.TemporaryDirectory() as folder:
        synthetic.write(synthetic.render(_SCENE_PX, seed=1), Path(folder) / "scene.tif")
        (scene,) = sources.read_annotated_images(Path(folder), "test")
        pixels = scene.pixels()
    return np.stack([crop_around(pixels, box, side_px) for box in scene.boxes[_spread(len(scene.boxes), count)]])


def _read_set(folder: Path, count: int, side_px: int) -> ImageArray:
    images = [image for image in sources.read_annotated_images(folder, "test") if len(image.boxes)]
    if not images:
        raise ConfigError(f"{folder}: expected test images with airplanes, found none: name another set")
    chosen = [images[k] for k in _spread(len(images), count)]
    return np.stack([crop_around(image.pixels(), image.boxes[0], side_px) for image in chosen])


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Return up to `count` indices, evenly spread over a list."""
    return np.linspace(0, length - 1, min(length, count)).astype(np.int64)
