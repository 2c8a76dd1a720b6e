"""Annotated images, the result of reading labels of every format; their checks, and the project's own format.

Our own labels are an `annotations.json` with the boxes of each image:

    {"name": ..., "gsd_m": metres per pixel or null, "assumed_gsd_m": typical ones where that is null,
     "images": [{"image": "a.png", "boxes": [[xmin, ymin, xmax, ymax], ...],
                 "width": ..., "height": ..., "split": "train", "group": "an airport"}]}

`width`, `height`, `split` and `group` may be absent.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from geo.errors import ConfigError, GeoreferenceError, RasterError
from geo.georef import BaseGeoReference
from geo.raster.header import read_header, read_size
from geo.raster.reader import read_image
from geo.types import FloatArray, ImageArray
from model.common.config import load_yaml

SETTINGS_FILE = "labels.yaml"
# An airplane of which a smaller share is visible is ignored: there is too little of it to learn from.
MIN_VISIBLE = 0.35
# Of an image without a georeference or settings: what most imagery with labelled airplanes has.
_TYPICAL_RESOLUTION_M = 0.5
# 8-bit formats, which Pillow reads.
_PLAIN_FORMATS = (".png", ".jpg", ".jpeg")


def _no_boxes() -> FloatArray:
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """One image with its airplanes.

    Attributes:
        path: the image file.
        group: the airport or area it shows, within its data set; images of one group are never split up.
        boxes: airplanes (N, 4): xmin, ymin, xmax, ymax in pixels, corner origin, half-open, float64.
        resolution_m: metres per pixel, measured or, where `resolution_known` is false, typical of the data set; None
            where the image's own georeference gives it.
        resolution_known: whether the resolution was measured.
        ignored: boxes (M, 4) that count neither as airplanes nor as background.
        split: `train`, `val` or `test`, as `model.data.sources` maps the labels' own; None where they have none.
    """

    path: Path
    group: str
    boxes: FloatArray
    resolution_m: float | None
    resolution_known: bool
    ignored: FloatArray = field(default_factory=_no_boxes)
    split: str | None = None

    def pixels(self) -> ImageArray:
        """Read the image as the pipeline does: RGB, (height, width, 3).

        Raises:
            RasterError: the file is missing, no image, damaged, or its bands do not fit.
        """
        # GDAL reads a truncated PNG without an error, so it reads only what Pillow cannot.
        if self.path.suffix.lower() not in _PLAIN_FORMATS:
            return read_image(str(self.path))
        try:
            with Image.open(self.path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise RasterError(f"{self.path}: expected a readable image of the data set: {error}") from error


@dataclass(frozen=True, slots=True)
class LabelsConfig:
    """Settings in the `labels.yaml` of a folder of labels.

    Attributes:
        categories: the COCO categories that are airplanes; recognised by their usual names where null.
        resolution_m: metres per pixel of images without a georeference.
        val: file names of the images of the val split; drawn by name where null.
    """

    categories: tuple[str, ...] | None = None
    resolution_m: float | None = None
    val: tuple[str, ...] | None = None

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {"dev": "val"}

    def __post_init__(self) -> None:
        for name in ("categories", "val"):
            if getattr(self, name) == ():
                raise ValueError(f"{name}: expected one or more, got none")
        if self.resolution_m is not None and not self.resolution_m > 0:
            raise ValueError(f"resolution_m: expected a number above 0, got {self.resolution_m}")


def read_settings(folder: Path) -> LabelsConfig:
    """Read a folder's `labels.yaml`; the defaults where there is none.

    Raises:
        ConfigError: the file is damaged.
    """
    file = folder / SETTINGS_FILE
    return load_yaml(LabelsConfig, file) if file.is_file() else LabelsConfig()


def read_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: the file cannot be read, or is not JSON.
    """
    try:
        # Some tools write a byte order mark.
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: expected labels as JSON, these are damaged ({error}): save them again") from error


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The path of an image file and its size in pixels."""

    path: Path
    width: int
    height: int


def read_image_info(path: Path, labels: Path) -> ImageInfo:
    """Read the size of an image that the file `labels` refers to.

    Raises:
        ConfigError: the file is missing.
        RasterError: the file is no image, or its bands do not fit.
    """
    if not path.is_file():
        raise ConfigError(f"{labels}: expected an image {path}, found no such file: add it, or correct its name")
    return ImageInfo(path, *read_size(str(path)))


def read_georeference(path: Path) -> BaseGeoReference | None:
    """Read the georeference of an image; None where it has none, or a damaged one."""
    try:
        return read_header(str(path)).georef
    except GeoreferenceError:
        return None


def choose_resolution(georef: BaseGeoReference | None, settings: LabelsConfig) -> tuple[float | None, bool]:
    """Return `resolution_m` and `resolution_known` of an `AnnotatedImage`; a georeference precedes the settings."""
    if georef is not None:
        return None, True
    return settings.resolution_m or _TYPICAL_RESOLUTION_M, settings.resolution_m is not None


def annotate_image(
    info: ImageInfo,
    group: str,
    boxes: FloatArray,
    ignored: FloatArray,
    resolution: tuple[float | None, bool],
    split: str | None = None,
) -> AnnotatedImage:
    """Combine an image with its boxes, clipped to the image.

    Args:
        info: the image.
        group: the airport or area it shows.
        boxes: airplanes (N, 4) in its pixels, checked.
        ignored: boxes (M, 4) to ignore, checked.
        resolution: as `choose_resolution` returns it.
        split: as in `AnnotatedImage`.

    Returns:
        The annotated image. Airplanes of which less than `MIN_VISIBLE` lies inside are ignored.
    """
    clipped, share = clip_boxes(boxes, info.width, info.height)
    clipped_ignored, _ = clip_boxes(ignored, info.width, info.height)
    visible = share >= MIN_VISIBLE
    all_ignored = np.concatenate([clipped_ignored, clipped[~visible]])
    return AnnotatedImage(info.path, group, clipped[visible], *resolution, all_ignored, split)


def clip_boxes(boxes: FloatArray, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """Clip boxes (N, 4) to an image; returns them and the share of each box's area that is left (N,)."""
    clipped = np.clip(boxes, 0, [width, height, width, height])
    return clipped, _areas(clipped) / _areas(boxes)


def _areas(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def check_boxes(boxes: FloatArray, names: Sequence[str], info: ImageInfo) -> None:
    """Reject boxes that cannot be airplanes in the image.

    Args:
        boxes: (N, 4) xmin, ymin, xmax, ymax.
        names: the name of each box in an error message.
        info: the image.

    Raises:
        ConfigError: a box has no area, or lies outside the image.
    """
    for box, name in zip(boxes, names, strict=True):
        xmin, ymin, xmax, ymax = box
        sides = f"from ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g})"
        if not (np.isfinite(box).all() and xmax > xmin and ymax > ymin):
            raise ConfigError(f"{name}: expected a box with an area, got one {sides}: draw it again, or delete it")
        if xmin >= info.width or ymin >= info.height or xmax <= 0 or ymax <= 0:
            raise ConfigError(
                f"{name}: expected a box in {info.path.name} ({info.width} x {info.height} px), got one "
                f"{sides}: check that the labels belong to this image, at this size"
            )


def check_size(width: object, height: object, name: str, info: ImageInfo) -> None:
    """Reject labels that were drawn on an image of another size; None where the labels give no size.

    Raises:
        ConfigError: the sizes differ.
    """
    if None not in (width, height) and (width, height) != (info.width, info.height):
        raise ConfigError(
            f"{name}: expected an image of {width} x {height} px, got one of {info.width} x {info.height}: "
            "use the one that was labelled, or export the labels again"
        )


def read_annotations(file: Path, folder: Path, content: dict[str, Any], settings: LabelsConfig) -> list[AnnotatedImage]:
    """Convert the content of an `annotations.json`, whose images lie below the folder.

    Raises:
        ConfigError: an image is missing, or a box does not fit its image.
        RasterError: an image cannot be read.
    """
    measured = content.get("gsd_m") or settings.resolution_m
    resolution = float(measured or content["assumed_gsd_m"]), measured is not None
    return [_read_annotation(file, folder, image, resolution) for image in content["images"]]


def _read_annotation(file: Path, folder: Path, image: dict[str, Any], resolution: tuple[float, bool]) -> AnnotatedImage:
    name = image["image"]
    info = read_image_info(folder / name, file)
    check_size(image.get("width"), image.get("height"), f"{file}: {name}", info)
    boxes = np.array(image["boxes"], np.float64).reshape(len(image["boxes"]), 4)
    check_boxes(boxes, [f"{file}: box {number} of {name}" for number in range(1, len(boxes) + 1)], info)
    return annotate_image(info, image.get("group", name), boxes, np.zeros((0, 4)), resolution, image.get("split"))
