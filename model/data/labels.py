"""What all kinds of labels have in common: the folder's settings, and boxes checked against their picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from geo.errors import ConfigError, GeoreferenceError
from geo.georef import BaseGeoReference
from geo.raster.header import read_header, read_size
from geo.types import FloatArray
from model.common.config import load_yaml
from model.data.images import Photo

SETTINGS_FILE = "labels.yaml"
# Less of an airplane than this share of its box is nothing to learn from.
_LEAST_VISIBLE = 0.35
# Of a picture that nobody says anything about: what most imagery in which airplanes are labelled has.
_TYPICAL_RESOLUTION_M = 0.5


@dataclass(frozen=True, slots=True)
class LabelsConfig:
    """What `labels.yaml` in a folder of labels may say.

    Attributes:
        categories: the COCO categories that are airplanes; by their usual names where null.
        resolution_m: metres on the ground per pixel, of pictures that do not say it themselves.
        val: names of the pictures to hold out of training, to choose by; drawn by name where null.
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
    """Reads a folder's `labels.yaml`, or takes the defaults where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    file = folder / SETTINGS_FILE
    return load_yaml(LabelsConfig, file) if file.is_file() else LabelsConfig()


def read_json(file: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ConfigError: it cannot be read, or is no JSON.
    """
    try:
        # Some tools put a byte order mark in front.
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: expected labels as JSON, these are damaged ({error}): save them again") from error


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file, its columns and its rows."""

    path: Path
    width: int
    height: int


def open_picture(path: Path, labels: Path) -> Picture:
    """Looks at the header of a picture that the file `labels` names.

    Raises:
        ConfigError: no such file.
        RasterError: no picture, or one whose bands do not fit.
    """
    if not path.is_file():
        raise ConfigError(f"{labels}: expected a picture {path}, found no such file: put it there, or mend its name")
    return Picture(path, *read_size(str(path)))


def georeference(path: Path) -> BaseGeoReference | None:
    """Where a picture lies; None where it does not say, or not soundly."""
    try:
        return read_header(str(path)).georef
    except GeoreferenceError:
        return None


def resolution_m(georef: BaseGeoReference | None, settings: LabelsConfig) -> tuple[float | None, bool]:
    """What a `Photo` says of its resolution, and whether it is known; the georeference goes before the settings."""
    if georef is not None:
        return None, True
    return settings.resolution_m or _TYPICAL_RESOLUTION_M, settings.resolution_m is not None


def photo(
    picture: Picture,
    group: str,
    boxes: FloatArray,
    ignored: FloatArray,
    resolution: tuple[float | None, bool],
    split: str | None = None,
) -> Photo:
    """A picture with its airplanes; of those that reach past its edge, the part inside.

    Args:
        picture: the picture.
        group: the airport or area it shows.
        boxes: airplanes (N, 4) in its pixels, checked.
        ignored: boxes (M, 4) to ignore, checked.
        resolution: metres per pixel, and whether they are known.
        split: as in `Photo`.

    Returns:
        The photo. Airplanes of which less than 0.35 is inside are ignored.
    """
    inside, share = clipped(boxes, picture.width, picture.height)
    more, _ = clipped(ignored, picture.width, picture.height)
    seen = share >= _LEAST_VISIBLE
    return Photo(picture.path, group, inside[seen], *resolution, np.concatenate([more, inside[~seen]]), split)


def clipped(boxes: FloatArray, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """The parts of boxes (N, 4) inside a picture, and which share of each box's area that is (N,)."""
    inside = np.clip(boxes, 0, [width, height, width, height])
    return inside, _areas(inside) / _areas(boxes)


def _areas(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def check_boxes(boxes: FloatArray, names: Sequence[str], picture: Picture) -> None:
    """Refuses boxes that cannot be airplanes of the picture.

    Args:
        boxes: (N, 4) xmin, ymin, xmax, ymax.
        names: what to call each in a message.
        picture: the picture.

    Raises:
        ConfigError: a box has no area, or no part of it lies in the picture.
    """
    for box, name in zip(boxes, names, strict=True):
        xmin, ymin, xmax, ymax = box
        sides = f"from ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g})"
        if not (np.isfinite(box).all() and xmax > xmin and ymax > ymin):
            raise ConfigError(f"{name}: expected a box with an area, got one {sides}: draw it again, or delete it")
        if xmin >= picture.width or ymin >= picture.height or xmax <= 0 or ymax <= 0:
            raise ConfigError(
                f"{name}: expected a box in {picture.path.name} ({picture.width} x {picture.height} px), got one "
                f"{sides}: check that the labels belong to this picture, at this size"
            )


def check_size(width: object, height: object, name: str, picture: Picture) -> None:
    """Refuses labels that were made on a picture of another size; None where they do not say it.

    Raises:
        ConfigError: they were.
    """
    if None not in (width, height) and (width, height) != (picture.width, picture.height):
        raise ConfigError(
            f"{name}: expected a picture of {width} x {height} px, got one of {picture.width} x {picture.height}: "
            "use the one that was labelled, or export the labels again"
        )
