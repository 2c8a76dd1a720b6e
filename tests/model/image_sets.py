"""Small sets of annotated images on disk: bright rectangles on dark ground."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.geo.scenes import write_tiff

WIDTH, HEIGHT = 200, 150
GROUND = 50
# Airplanes of every image, none at its edge: a box and its red level.
AIRPLANES = [([20, 30, 45, 60], 250), ([100, 12, 118, 40], 240), ([140, 90, 185, 130], 231)]


def make_pixels(level: float = 1.0) -> NDArray[np.uint8]:
    pixels = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    for (xmin, ymin, xmax, ymax), red in AIRPLANES:
        pixels[ymin:ymax, xmin:xmax] = int(red * level)
    return pixels


def write_set(folder: Path, arrays: dict[str, NDArray[np.uint8]], split: str = "val") -> Path:
    """Write images that all have the same airplanes, each its own group; return the folder."""
    folder.mkdir(parents=True)
    images = []
    for name, pixels in arrays.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
        boxes = [box for box, _ in AIRPLANES]
        images.append({"image": f"{name}.png", "split": split, "group": name, "boxes": boxes})
    content = {"name": folder.name, "gsd_m": 0.5, "assumed_gsd_m": None, "images": images}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_rendered(folder: Path, arrays: dict[str, NDArray[np.uint8]], airplanes: bool = True) -> Path:
    """Write scenes of 0.5 m with their truth, as `model.synthetic` does; return the folder."""
    folder.mkdir(parents=True)
    sides = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    features = [{"properties": dict(zip(sides, box, strict=True))} for box, _ in AIRPLANES if airplanes]
    for name, pixels in arrays.items():
        write_tiff(folder / f"{name}.tif", pixels)
        (folder / f"{name}.truth.geojson").write_text(json.dumps({"features": features}), encoding="utf-8")
    return folder
