"""Export a model: write every format, check it against the Keras model, and only then move all of them into place."""

import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError, FinderError
from geo.types import ImageArray
from model import synthetic
from model.common.atomic import atomic_folder
from model.data import sources
from model.detectors import registry
from model.detectors.registry import Decode
from model.export import formats
from model.export.classifier_graph import classifier_graph, predict_chips
from model.export.config import ChipTiling, Format
from model.export.formats import Outputs, Signature, detector_graph
from model.inference import model_folder, weights_io
from model.inference.calibration import Calibration
from model.inference.model_folder import ClassifierModelConfig, ModelConfig

_SAVED_MODEL = "saved_model"
_FROZEN_GRAPH = "frozen_graph.pb"
_LITERT = "model.tflite"
_ONNX = "model.onnx"
_CARD = "README.md"
_DOCUMENTS = (model_folder.CONFIG_FILE, _CARD)
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


class _Model(NamedTuple):
    """A model to export.

    Attributes:
        config: config of its folder.
        graph: see `model.export.formats.detector_graph`.
        predict: outputs of the Keras model for images (B, H, W, 3).
    """

    config: ModelConfig | ClassifierModelConfig
    graph: Any
    predict: Callable[[ImageArray], Outputs]


def export(
    model_folder: Path,
    output: Path,
    export_formats: Sequence[Format],
    tiles: ImageArray,
    chips: ChipTiling | None = None,
) -> dict[str, Difference]:
    """Export a model.

    Args:
        model_folder: see `model.inference.model_folder.resolve`.
        output: folder to make, or an earlier export to replace.
        export_formats: formats to write.
        tiles: images (B, H, W, 3) to check each format on, H and W multiples of 32.
        chips: how a classifier is applied to images; the default if None.

    Returns:
        The difference between each signature of the export and the Keras model.

    Raises:
        OutputError: the output cannot be written.
        ConfigError: the output is not an export, the config of the model is damaged, or a format cannot hold it.
        WeightsError: the weights are missing or damaged.
        ExportError: a format differs from the Keras model; no output is left then.
    """
    check_replaceable(output.resolve())
    with atomic_folder(output) as folder:
        model = _load(model_folder, chips or ChipTiling())
        _copy_documents(model_folder, folder)
        signatures = [signature for name in export_formats for signature in _write(name, model, folder)]
        differences = {
            signature.name: compare(signature.detect(tiles), model.predict(signature.transmitted(tiles)))
            for signature in signatures
        }
        for name, difference in differences.items():
            check(name, difference)
    return differences


def _load(folder: Path, chips: ChipTiling) -> _Model:
    if model_folder.is_classifier(folder):
        classifier, classifier_config = weights_io.load_classifier(folder)
        predict = functools.partial(predict_chips, classifier, chips)
        return _Model(classifier_config, classifier_graph(classifier, chips), predict)
    detector, config = weights_io.load(folder)
    decode = registry.get(config.detector).decode
    predict = functools.partial(keras_outputs, detector, decode, config.calibration)
    return _Model(config, detector_graph(detector, decode, config.calibration), predict)


def check_replaceable(output: Path) -> None:
    """Check that a folder is new or an earlier export, and not a model folder, say.

    Raises:
        ConfigError: it is something else.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output: expected a folder, got the file {output}: name another")
    exported = {_SAVED_MODEL, _FROZEN_GRAPH, _LITERT, _ONNX, *_DOCUMENTS}
    foreign = sorted(path.name for path in output.glob("*") if path.name not in exported)
    if foreign:
        raise ConfigError(
            f"output: expected a new folder or an earlier export, but {output} holds {foreign[0]}: name another"
        )


def _write(name: Format, model: _Model, folder: Path) -> list[Signature]:
    """Write one format and read it back."""
    if name == "saved_model":
        formats.write_saved_model(model.graph, folder / _SAVED_MODEL)
        _copy_documents(folder, folder / _SAVED_MODEL / formats.EXTRA_FOLDER)
        return formats.read_saved_model(folder / _SAVED_MODEL)
    if name == "frozen_graph":
        formats.write_frozen_graph(model.graph, folder / _FROZEN_GRAPH)
        return [formats.read_frozen_graph(folder / _FROZEN_GRAPH)]
    if not isinstance(model.config, ModelConfig):
        raise ConfigError(
            f"formats: expected saved_model or frozen_graph for a classifier, got {name}, which cannot hold the loop "
            "over its chips: leave it out"
        )
    if name == "litert":
        formats.write_litert(model.graph, folder / _LITERT)
        return [formats.read_litert(folder / _LITERT)]
    card = folder / _CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    formats.write_onnx(model.graph, model.config, text, folder / _ONNX)
    return [formats.read_onnx(folder / _ONNX)]


def _copy_documents(source: Path, target: Path) -> None:
    """Copy the config and, if there is one, the model card; a newly trained model has none."""
    target.mkdir(exist_ok=True)
    for name in _DOCUMENTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


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
