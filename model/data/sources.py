"""Annotated photos: a folder with an `annotations.json` and pictures beside it."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError, RasterError

# The part of a set's train photos, at most, on which thresholds and the like are chosen.
_DEV_SHARE = 0.1
# What the truth beside a rendered scene is called.
_TRUTH = ".truth.geojson"


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One annotated picture.

    Attributes:
        path: the picture's file.
        group: the airport or area it shows, unique over all sets.
        boxes: airplanes (N, 4): xmin, ymin, xmax, ymax in pixels, corner origin, half-open, float64.
        resolution_m: metres per pixel, measured or, where `resolution_known` is false, typical of the set; None where
            the picture's own georeference tells.
    """

    path: Path
    group: str
    boxes: NDArray[np.float64]
    resolution_m: float | None
    resolution_known: bool

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as RGB, (height, width, 3).

        Raises:
            RasterError: no such file, or no picture.
        """
        try:
            with Image.open(self.path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise RasterError(f"{self.path}: expected a picture of the data set: {error}") from error


def read_photos(folder: Path, split: str) -> list[Photo]:
    """Reads the photos of one set.

    Args:
        folder: holds `annotations.json`, or scenes that `geo.render` has drawn (all of them `val`).
        split: `val`, `train`, or one of the two parts of train that share no group: `fit` and `dev`.

    Raises:
        ConfigError: no such folder, split or annotations, or damaged ones.
    """
    if split not in ("train", "val", "fit", "dev"):
        raise ConfigError(f"split: expected train, val, fit or dev, got {split!r}")
    file = folder / "annotations.json"
    rendered = [] if file.is_file() else read_rendered(folder)
    if rendered:
        return rendered if split == "val" else []
    if not file.is_file():
        raise ConfigError(f"{folder}: expected a data set with an annotations.json, found none: check the path")
    try:
        return _photos(folder, json.loads(file.read_text(encoding="utf-8")), split)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file}: expected annotations of photos, these are damaged: {error!r}") from error


def read_rendered(folder: Path) -> list[Photo]:
    """The scenes in a folder that `geo.render` has drawn.

    Raises:
        ConfigError: the truth of one is damaged.
    """
    return [_scene(truth) for truth in sorted(folder.glob(f"*{_TRUTH}"))]


def _scene(truth: Path) -> Photo:
    """A rendered scene with its truth."""
    try:
        found = [feature["properties"] for feature in json.loads(truth.read_text(encoding="utf-8"))["features"]]
        sides = [[airplane[side] for side in ("xmin_px", "ymin_px", "xmax_px", "ymax_px")] for airplane in found]
        boxes = np.array(sides, np.float64).reshape(-1, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{truth}: expected the truth of a rendered scene, this is damaged: {error!r}") from error
    return Photo(
        path=truth.with_name(truth.name.removesuffix(_TRUTH) + ".tif"),
        group=truth.name,
        boxes=boxes,
        resolution_m=None,
        resolution_known=True,
    )


def dev_groups(groups: list[str]) -> set[str]:
    """The groups that make up the dev part: in an order drawn by their names, as many as a tenth of photos allows.

    Args:
        groups: the group of every train photo of one set.
    """
    sizes = Counter(groups)
    chosen: set[str] = set()
    room = int(_DEV_SHARE * len(groups))
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sizes[group] <= room:
            chosen.add(group)
            room -= sizes[group]
    return chosen


def _photos(folder: Path, content: dict[str, Any], split: str) -> list[Photo]:
    resolution = float(content.get("gsd_m") or content["assumed_gsd_m"])
    dev = dev_groups([image["group"] for image in content["images"] if image["split"] == "train"])
    return [
        Photo(
            path=folder / image["image"],
            group=f"{content['name']}/{image['group']}",
            boxes=np.array(image["boxes"], np.float64).reshape(-1, 4),
            resolution_m=resolution,
            resolution_known=content.get("gsd_m") is not None,
        )
        for image in content["images"]
        if split in _splits(image, dev)
    ]


def _splits(image: dict[str, Any], dev: set[str]) -> tuple[str, ...]:
    """Every split that an image belongs to."""
    if image["split"] != "train":
        return (image["split"],)
    return ("train", "dev" if image["group"] in dev else "fit")
