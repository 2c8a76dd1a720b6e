"""The project's own labels: an `annotations.json` with the boxes of each picture.

    {"name": ..., "gsd_m": metres per pixel or null, "assumed_gsd_m": typical ones where that is null,
     "images": [{"image": "a.png", "boxes": [[xmin, ymin, xmax, ymax], ...],
                 "width": ..., "height": ..., "split": "train", "group": "an airport"}]}

`width`, `height`, `split` and `group` may be absent.
"""

from pathlib import Path
from typing import Any

import numpy as np

from model.data.labels import AnnotatedImage, LabelsConfig, check_boxes, check_size, open_picture, photo


def read_annotations(file: Path, folder: Path, content: dict[str, Any], settings: LabelsConfig) -> list[AnnotatedImage]:
    """The pictures that an `annotations.json` names, below the folder, with their airplanes.

    Raises:
        ConfigError: a picture that is missing, or a box that does not fit it.
        RasterError: a picture that cannot be read.
    """
    measured = content.get("gsd_m") or settings.resolution_m
    resolution = float(measured or content["assumed_gsd_m"]), measured is not None
    return [_photo(file, folder, image, resolution) for image in content["images"]]


def _photo(file: Path, folder: Path, image: dict[str, Any], resolution: tuple[float, bool]) -> AnnotatedImage:
    name = image["image"]
    picture = open_picture(folder / name, file)
    check_size(image.get("width"), image.get("height"), f"{file}: {name}", picture)
    boxes = np.array(image["boxes"], np.float64).reshape(len(image["boxes"]), 4)
    check_boxes(boxes, [f"{file}: box {number} of {name}" for number in range(1, len(boxes) + 1)], picture)
    return photo(picture, image.get("group", name), boxes, np.zeros((0, 4)), resolution, image.get("split"))
