"""COCO labels, as CVAT, Label Studio, Roboflow and others export them: boxes with categories."""

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
    ImageInfo,
    LabelsConfig,
    annotate_image,
    check_boxes,
    check_size,
    choose_resolution,
    read_georeference,
    read_image_info,
)

_AIRPLANE_NAMES = {"airplane", "airplanes", "aeroplane", "aeroplanes", "plane", "planes", "aircraft"}


def is_coco(content: object) -> bool:
    """Whether this is the content of a COCO file."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(file: Path, folder: Path, content: dict[str, Any], settings: LabelsConfig) -> list[AnnotatedImage]:
    """Convert the content of a COCO file.

    Args:
        file: the COCO file, for messages and to find the images.
        folder: the folder of the data set; images are searched in it, beside the file, and in subfolders.
        content: the content of the file.
        settings: the settings of the folder; `categories` names those that are airplanes.

    Returns:
        Every image. Annotations with `iscrowd` are ignored; those of other categories are background.

    Raises:
        ConfigError: no airplanes, an unknown category, a missing image, or a box that does not fit.
        RasterError: an image cannot be read.
    """
    airplane_categories = _airplane_categories(file, content["categories"], settings)
    images = {image["id"]: image for image in content["images"]}
    annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    category_ids = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        _check_reference(file, annotation, "image_id", images.keys())
        _check_reference(file, annotation, "category_id", category_ids)
        if annotation["category_id"] in airplane_categories:
            annotations[annotation["image_id"]].append(annotation)
    if not annotations:
        raise ConfigError(
            f"{file}: expected airplanes, found no annotation of category "
            f"{', '.join(sorted(airplane_categories.values()))}: export the labels again, with their boxes"
        )
    return [_read_image(file, folder, image, annotations[number], settings) for number, image in images.items()]


def _airplane_categories(file: Path, categories: list[dict[str, Any]], settings: LabelsConfig) -> dict[Any, str]:
    """Return the categories that are airplanes: names by id."""
    names = {category["id"]: str(category["name"]) for category in categories}
    if settings.categories is not None:
        selected = {number: name for number, name in names.items() if name in settings.categories}
        missing = sorted(set(settings.categories) - set(selected.values()))
    else:
        usual = {number: name for number, name in names.items() if name.strip().lower() in _AIRPLANE_NAMES}
        selected = names if len(names) == 1 else usual
        missing = [] if selected else ["airplane"]
    if missing:
        raise ConfigError(
            f"{file}: expected a category {', '.join(missing)}, found {', '.join(sorted(names.values())) or 'none'}: "
            f"name those that are airplanes in {SETTINGS_FILE} in the labels' folder, `categories: [...]`"
        )
    return selected


def _check_reference(file: Path, annotation: dict[str, Any], key: str, known_ids: Set[Any]) -> None:
    if annotation[key] not in known_ids:
        raise ConfigError(
            f"{_describe(file, annotation)}: expected {key} of an entry of this file, got {annotation[key]!r}: "
            "export the labels again"
        )


def _describe(file: Path, annotation: dict[str, Any]) -> str:
    return f"{file}: annotation {annotation.get('id')}"


def _read_image(
    file: Path, folder: Path, image: dict[str, Any], annotations: list[dict[str, Any]], settings: LabelsConfig
) -> AnnotatedImage:
    name = str(image["file_name"]).replace("\\", "/")
    info = read_image_info(_find_image(file, folder, name), file)
    check_size(image.get("width"), image.get("height"), f"{file}: {name}", info)
    crowds = [annotation for annotation in annotations if annotation.get("iscrowd")]
    singles = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    return annotate_image(
        info,
        # Roboflow exports several augmented copies of an image under names that differ after ".rf.".
        name.partition(".rf.")[0],
        _read_boxes(file, singles, info),
        _read_boxes(file, crowds, info),
        choose_resolution(read_georeference(info.path), settings),
    )


def _read_boxes(file: Path, annotations: list[dict[str, Any]], info: ImageInfo) -> FloatArray:
    """Return the checked boxes (N, 4) of annotations: xmin, ymin, xmax, ymax."""
    boxes = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(len(annotations), 4)
    boxes[:, 2:] += boxes[:, :2]
    check_boxes(boxes, [_describe(file, annotation) for annotation in annotations], info)
    return boxes


def _find_image(file: Path, folder: Path, name: str) -> Path:
    """Find an image: tools put images beside their labels, or the labels in a subfolder."""
    for path in (folder / name, file.parent / name, folder / "images" / name):
        if path.is_file():
            return path
    matches = sorted(folder.rglob(Path(name).name))
    if len(matches) > 1:
        raise ConfigError(f"{file}: expected one image {name}, found {matches[0]} and {matches[1]}: keep one")
    return matches[0] if matches else folder / name
