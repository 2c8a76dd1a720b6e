"""Detections that were made elsewhere, read from a file: ours (GeoJSON), or results in COCO's form."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo.errors import ConfigError
from geo.types import Detections
from model.evaluation.images import Subject

_SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says of the picture that a detection was made on.

    Attributes:
        uri: its path, or no more than its file's name.
        scene_id: its fingerprint, or "".
    """

    uri: str
    scene_id: str


@dataclass(frozen=True, slots=True, eq=False)
class DetectionFile:
    """The detections of a file.

    Attributes:
        model: what made them, as the file says; the file's own name where it does not.
        found: on each picture, in its pixels.
    """

    model: str
    found: Mapping[Source, Detections]


def read_detections(file: Path) -> DetectionFile:
    """Reads a file of detections.

    Args:
        file: the pipeline's GeoJSON, or COCO's results: a list of `{"image_id", "bbox", "score"}`, `image_id` the name
            of the picture's file, `bbox` its left, top, width and height in pixels.

    Raises:
        ConfigError: no such file, or neither of these.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, list):
            return DetectionFile(file.name, _grouped(map(_coco, content)))
        properties = [feature["properties"] for feature in content["features"]]
        models = {str(each["model"]) for each in properties}
        return DetectionFile(models.pop() if len(models) == 1 else file.name, _grouped(map(_ours, properties)))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{file}: expected detections, as GeoJSON of pipeline.run or as a JSON list of image_id (the picture's "
            f"file), bbox and score, got {error!r}: check the path and the file"
        ) from error


def assign(file: DetectionFile, subjects: Sequence[Subject]) -> tuple[list[Detections], int]:
    """Finds out which picture each detection was made on: by fingerprint, by path, by file name, by its stem.

    Args:
        file: the detections.
        subjects: the pictures to compare.

    Returns:
        The detections of each picture, none where the file has none; and how many pictures the file speaks of that are
        not among these.

    Raises:
        ConfigError: a name that fits several pictures, or no detection fits any.
    """
    finders = [_index(subjects, name) for name in _NAMES]
    parts: list[list[Detections]] = [[] for _ in subjects]
    unknown = 0
    for source, found in file.found.items():
        places = _places(source, finders)
        if len(places) > 1:
            both = " and ".join(str(subjects[place].photo.path) for place in places[:2])
            raise ConfigError(f"detections on {source.uri}: expected the name of one picture, it fits {both}")
        unknown += not places
        for place in places:
            parts[place].append(found)
    if file.found and unknown == len(file.found):
        raise ConfigError(
            f"expected detections on the pictures of the sets, got {unknown} others, first "
            f"{next(iter(file.found)).uri}: check the sets, the split and the file"
        )
    return [Detections.concatenate(each) for each in parts], unknown


# How a picture may be named, the surest first: of a file's source, and of a subject.
_NAMES: tuple[tuple[Callable[[Source], str], Callable[[Subject], str]], ...] = (
    (lambda source: source.scene_id, lambda subject: subject.header.scene_id),
    (lambda source: str(Path(source.uri).resolve()), lambda subject: str(subject.photo.path.resolve())),
    (lambda source: Path(source.uri).name, lambda subject: subject.photo.path.name),
    (lambda source: Path(source.uri).stem, lambda subject: subject.photo.path.stem),
)
_Finder = tuple[Callable[[Source], str], Mapping[str, list[int]]]


def _index(subjects: Sequence[Subject], names: tuple[Callable[[Source], str], Callable[[Subject], str]]) -> _Finder:
    places: dict[str, list[int]] = defaultdict(list)
    for place, subject in enumerate(subjects):
        places[names[1](subject)].append(place)
    return names[0], places


def _places(source: Source, finders: Sequence[_Finder]) -> list[int]:
    """Positions of the pictures that the surest name that fits any fits."""
    return next((places[name(source)] for name, places in finders if places.get(name(source))), [])


def _ours(properties: Mapping[str, Any]) -> tuple[Source, list[float], float]:
    source = Source(str(properties["scene_uri"]), str(properties.get("scene_id", "")))
    return source, [float(properties[side]) for side in _SIDES], float(properties["score"])


def _coco(result: Mapping[str, Any]) -> tuple[Source, list[float], float]:
    name = result["image_id"]
    if not isinstance(name, str):
        raise ValueError(f"image_id {name!r}, expected the name of the picture's file")
    left, top, width, height = map(float, result["bbox"])
    return Source(name, ""), [left, top, left + width, top + height], float(result["score"])


def _grouped(rows: Iterable[tuple[Source, list[float], float]]) -> dict[Source, Detections]:
    by_source: dict[Source, list[tuple[list[float], float]]] = defaultdict(list)
    for source, box, score in rows:
        by_source[source].append((box, score))
    return {source: _detections(found) for source, found in by_source.items()}


def _detections(rows: Sequence[tuple[list[float], float]]) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float64)
    if not (np.isfinite(boxes).all() and ((scores >= 0) & (scores <= 1)).all()):
        raise ValueError("a box that is no numbers, or a score out of 0 to 1")
    return Detections(boxes, scores, np.full(len(boxes), np.nan))
