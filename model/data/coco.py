"""COCO labels, as CVAT, Label Studio, Roboflow and others export them: boxes of pictures, with categories."""

from collections import defaultdict
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np

from geo.errors import ConfigError
from geo.types import FloatArray
from model.data.labels import (
    SETTINGS_FILE,
    AnnotatedImage,
    LabelsConfig,
    Picture,
    check_boxes,
    check_size,
    georeference,
    open_picture,
    photo,
    resolution_m,
)

_AIRPLANES = {"airplane", "airplanes", "aeroplane", "aeroplanes", "plane", "planes", "aircraft"}


def is_coco(content: object) -> bool:
    """Says whether this is what a COCO file holds."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(file: Path, folder: Path, content: dict[str, Any], settings: LabelsConfig) -> list[AnnotatedImage]:
    """The pictures of a COCO file, with its airplanes.

    Args:
        file: the COCO file, for messages and to find the pictures.
        folder: of the labels; pictures are looked for in it, beside the file, and in the folders below.
        content: of the file.
        settings: of the folder; `categories` says what is an airplane.

    Returns:
        A photo for each image. Annotations with `iscrowd` are ignored; those of other categories are background.

    Raises:
        ConfigError: no airplanes, a category that is unknown, a picture that is missing, or a box that does not fit.
        RasterError: a picture that cannot be read.
    """
    chosen = _airplane_categories(file, content["categories"], settings)
    images = {image["id"]: image for image in content["images"]}
    annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    numbers = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        _check_reference(file, annotation, "image_id", images.keys())
        _check_reference(file, annotation, "category_id", numbers)
        if annotation["category_id"] in chosen:
            annotations[annotation["image_id"]].append(annotation)
    if not annotations:
        raise ConfigError(
            f"{file}: expected airplanes, found no annotation of category {', '.join(sorted(chosen.values()))}: "
            "export the labels again, with their boxes"
        )
    return [_photo(file, folder, image, annotations[number], settings) for number, image in images.items()]


def _airplane_categories(file: Path, categories: list[dict[str, Any]], settings: LabelsConfig) -> dict[Any, str]:
    """The categories that are airplanes, name by id."""
    names = {category["id"]: str(category["name"]) for category in categories}
    if settings.categories is not None:
        chosen = {number: name for number, name in names.items() if name in settings.categories}
        missing = sorted(set(settings.categories) - set(chosen.values()))
    else:
        usual = {number: name for number, name in names.items() if name.strip().lower() in _AIRPLANES}
        chosen = names if len(names) == 1 else usual
        missing = [] if chosen else ["airplane"]
    if missing:
        raise ConfigError(
            f"{file}: expected a category {', '.join(missing)}, found {', '.join(sorted(names.values())) or 'none'}: "
            f"name those that are airplanes in {SETTINGS_FILE} in the labels' folder, `categories: [...]`"
        )
    return chosen


def _check_reference(file: Path, annotation: dict[str, Any], key: str, known: Set[Any]) -> None:
    if annotation[key] not in known:
        raise ConfigError(
            f"{_name(file, annotation)}: expected {key} to name one that is there, got {annotation[key]!r}: "
            "export the labels again"
        )


def _name(file: Path, annotation: dict[str, Any]) -> str:
    return f"{file}: annotation {annotation.get('id')}"


def _photo(
    file: Path, folder: Path, image: dict[str, Any], annotations: list[dict[str, Any]], settings: LabelsConfig
) -> AnnotatedImage:
    name = str(image["file_name"]).replace("\\", "/")
    picture = open_picture(_found(file, folder, name), file)
    check_size(image.get("width"), image.get("height"), f"{file}: {name}", picture)
    crowds = [annotation for annotation in annotations if annotation.get("iscrowd")]
    singles = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    return photo(
        picture,
        # Roboflow exports several augmented copies of a picture under names that differ after ".rf.".
        name.partition(".rf.")[0],
        _boxes(file, singles, picture),
        _boxes(file, crowds, picture),
        resolution_m(georeference(picture.path), settings),
    )


def _boxes(file: Path, annotations: list[dict[str, Any]], picture: Picture) -> FloatArray:
    """Their boxes (N, 4), xmin, ymin, xmax, ymax, checked."""
    boxes = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(len(annotations), 4)
    boxes[:, 2:] += boxes[:, :2]
    check_boxes(boxes, [_name(file, annotation) for annotation in annotations], picture)
    return boxes


def _found(file: Path, folder: Path, name: str) -> Path:
    """Where a picture is: tools put their pictures in different places, and themselves in a folder below."""
    for place in (folder / name, file.parent / name, folder / "images" / name):
        if place.is_file():
            return place
    anywhere = sorted(folder.rglob(Path(name).name))
    if len(anywhere) > 1:
        raise ConfigError(f"{file}: expected one picture {name}, found {anywhere[0]} and {anywhere[1]}: keep one")
    return anywhere[0] if anywhere else folder / name
