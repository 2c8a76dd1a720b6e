"""Predictions on the images of data sets: by a model, or read from a file of detections; GeoJSON or COCO results."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geo.errors import ConfigError
from geo.raster.header import SceneHeader
from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.evaluation import metrics
from model.evaluation.images import ComparedImage, EvaluationImage, compare_image, read_evaluation_image
from model.evaluation.set_metrics import concatenate_matches
from model.inference import calibration
from model.inference.calibration import Calibration
from model.inference.predictor import Predictor
from model.inference.scan import scan_all
from model.inference.scan_config import ScanConfig

_SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The images of a set, and the detections on each, in its pixels."""

    images: Sequence[EvaluationImage]
    detections: Sequence[Detections]

    def compare(self) -> list[ComparedImage]:
        """Compare the detections of every image with its annotations."""
        return [compare_image(*each) for each in zip(self.images, self.detections, strict=True)]


def predict(
    images: Sequence[AnnotatedImage],
    predictor: Predictor,
    config: ScanConfig,
    batch_size: int,
    name: str | None = None,
) -> Predictions:
    """Detect airplanes on the images of a set, through the levels, tiles and suppression of the pipeline.

    Args:
        images: the images.
        predictor: the detector.
        config: levels, tiles and suppression.
        batch_size: tiles per call of the detector.
        name: name of the set, for a progress bar on a terminal; none if None.

    Raises:
        RasterError: an image cannot be read.
        ResolutionError: an image is too coarse.
    """
    read: list[EvaluationImage] = []

    def headers() -> Iterator[SceneHeader]:
        for image in tqdm(images, name, leave=False, disable=None) if name else images:
            read.append(read_evaluation_image(image))
            yield read[-1].header

    detections = scan_all(headers(), config, predictor, batch_size)
    return Predictions(read, detections)


def load_predictions(sets: Mapping[str, Sequence[AnnotatedImage]], file: "DetectionFile") -> dict[str, Predictions]:
    """Assign the detections of a file to the images of all sets.

    Raises:
        ConfigError: no detection is on these images, or one could be on several.
        RasterError: an image cannot be read.
    """
    sources = {name: [read_evaluation_image(image) for image in images] for name, images in sets.items()}
    detections, unknown = assign_detections(file, list(chain.from_iterable(sources.values())))
    if unknown:
        print(f"model.evaluate: {unknown} pictures of the detections are in none of the sets", file=sys.stderr)
    remaining = iter(detections)
    return {name: Predictions(images, [next(remaining) for _ in images]) for name, images in sources.items()}


def fit_calibration(predictions: Mapping[str, Predictions]) -> Calibration:
    """Fit a calibration to the predictions on all sets, every detection with equal weight.

    Raises:
        ConfigError: all detections are correct, or none is.
    """
    images = [image for each in predictions.values() for image in each.compare()]
    matches = concatenate_matches(images)[metrics.IOUS[0]]
    boxes = np.concatenate([image.level_boxes for image in images])
    return calibration.fit(matches.scores, boxes, matches.correct)


def best_min_score(images: Sequence[ComparedImage]) -> float:
    """Return the threshold of the best F1, halfway to the next lower score, so that rounding loses no detection.

    Raises:
        ConfigError: there are no airplanes or no detections.
    """
    matches = concatenate_matches(images)[metrics.IOUS[0]]
    if not (matches.num_airplanes and len(matches.scores)):
        raise ConfigError("expected airplanes and detections to choose a threshold from, found none in these sets")
    best = metrics.best_f1(matches).min_score
    next_lower = matches.scores[matches.scores < best].max(initial=0)
    return round(float(best + next_lower) / 2, 6)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """How a file of detections refers to an image.

    Attributes:
        uri: its path, or only the name of its file.
        scene_id: its fingerprint, or "".
    """

    uri: str
    scene_id: str


@dataclass(frozen=True, slots=True, eq=False)
class DetectionFile:
    """The detections of a file.

    Attributes:
        model: name of the model in the file; without one, or with several, the name of the file.
        detections: by image, in its pixels.
    """

    model: str
    detections: Mapping[ImageReference, Detections]


def read_detection_file(file: Path) -> DetectionFile:
    """Read a file of detections.

    Args:
        file: the pipeline's GeoJSON, or COCO results: a list of `{"image_id", "bbox", "score"}`, where `image_id` is
            the name of the image's file, `bbox` its left, top, width and height in pixels.

    Raises:
        ConfigError: no such file, or neither of these.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, list):
            return DetectionFile(file.name, _group_by_image(map(_parse_coco, content)))
        properties = [feature["properties"] for feature in content["features"]]
        models = {str(each["model"]) for each in properties}
        model = models.pop() if len(models) == 1 else file.name
        return DetectionFile(model, _group_by_image(map(_parse_geojson, properties)))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{file}: expected detections, as GeoJSON of pipeline.run or as a JSON list of image_id (the picture's "
            f"file), bbox and score, got {error!r}: check the path and the file"
        ) from error


def assign_detections(file: DetectionFile, images: Sequence[EvaluationImage]) -> tuple[list[Detections], int]:
    """Assign detections to images: by fingerprint, path, file name, or stem, in this order.

    Args:
        file: the detections.
        images: the images to evaluate on.

    Returns:
        The detections of each image, none where the file has none; and the number of images of the file that are not
        among these.

    Raises:
        ConfigError: a name fits several images, or no detection is on any.
    """
    by_key = [_group_by_key(images, image_key) for _, image_key in _KEYS]
    parts: list[list[Detections]] = [[] for _ in images]
    unknown = 0
    for reference, detections in file.detections.items():
        keys = (reference_key(reference) for reference_key, _ in _KEYS)
        candidates = next((group[key] for group, key in zip(by_key, keys, strict=True) if key in group), [])
        if len(candidates) > 1:
            names = " and ".join(str(images[k].image.path) for k in candidates[:2])
            raise ConfigError(f"detections on {reference.uri}: expected the name of one picture, it fits {names}")
        unknown += not candidates
        for k in candidates:
            parts[k].append(detections)
    if file.detections and unknown == len(file.detections):
        raise ConfigError(
            f"expected detections on the pictures of the sets, got {unknown} others, first "
            f"{next(iter(file.detections)).uri}: check the sets, the split and the file"
        )
    return [Detections.concatenate(each) for each in parts], unknown


# Keys under which a reference and an image are compared, the most reliable first.
_KEYS: tuple[tuple[Callable[[ImageReference], str], Callable[[EvaluationImage], str]], ...] = (
    (lambda reference: reference.scene_id, lambda source: source.header.scene_id),
    (lambda reference: str(Path(reference.uri).resolve()), lambda source: str(source.image.path.resolve())),
    (lambda reference: Path(reference.uri).name, lambda source: source.image.path.name),
    (lambda reference: Path(reference.uri).stem, lambda source: source.image.path.stem),
)


def _group_by_key(images: Sequence[EvaluationImage], key: Callable[[EvaluationImage], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for k, image in enumerate(images):
        groups[key(image)].append(k)
    return dict(groups)


def _parse_geojson(properties: Mapping[str, Any]) -> tuple[ImageReference, list[float], float]:
    reference = ImageReference(str(properties["scene_uri"]), str(properties.get("scene_id", "")))
    return reference, [float(properties[side]) for side in _SIDES], float(properties["score"])


def _parse_coco(result: Mapping[str, Any]) -> tuple[ImageReference, list[float], float]:
    name = result["image_id"]
    if not isinstance(name, str):
        raise ValueError(f"image_id {name!r}, expected the name of the picture's file")
    left, top, width, height = map(float, result["bbox"])
    return ImageReference(name, ""), [left, top, left + width, top + height], float(result["score"])


def _group_by_image(rows: Iterable[tuple[ImageReference, list[float], float]]) -> dict[ImageReference, Detections]:
    groups: dict[ImageReference, list[tuple[list[float], float]]] = defaultdict(list)
    for reference, box, score in rows:
        groups[reference].append((box, score))
    return {reference: _to_detections(group) for reference, group in groups.items()}


def _to_detections(rows: Sequence[tuple[list[float], float]]) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float64)
    if not (np.isfinite(boxes).all() and ((scores >= 0) & (scores <= 1)).all()):
        raise ValueError("a box that is not finite, or a score out of 0 to 1")
    return Detections(boxes, scores, np.full(len(boxes), np.nan))
