"""Reviews as labels: checked tiles as images with COCO boxes, which `model.train --data` reads; and as GeoJSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS

from geo.georef import BaseGeoReference, GeoReference
from geo.grid import Level
from geo.polygons import geojson_mapping
from geo.raster.reader import RasterReader
from geo.raster.writer import write_scene
from geo.types import Window
from model.common.atomic import make_folder, write_atomically
from pipeline.serve.review import Action, known_airplanes
from pipeline.values import Scene

#: Side of a tile that is checked as a whole, scene pixels.
TILE_PX = 1024
LABELS_FILE = "annotations.json"
IMAGES = "images"


def tile_box(scene: Scene, x: float, y: float) -> tuple[float, float, float, float]:
    """Return the tile of a scene around a pixel: xmin, ymin, xmax, ymax in scene pixels, clipped to the scene."""
    col, row = math.floor(x / TILE_PX) * TILE_PX, math.floor(y / TILE_PX) * TILE_PX
    width, height = scene.header.width, scene.header.height
    return float(col), float(row), float(min(col + TILE_PX, width)), float(min(row + TILE_PX, height))


def write_image(folder: Path, scene: Scene, tile: Action) -> None:
    """Write the pixels of a checked tile as the detector sees them, as a GeoTIFF; once.

    Raises:
        FinderError: the scene cannot be read, or the folder not be written.
    """
    path = folder / IMAGES / _image_name(tile)
    if path.is_file():
        return
    make_folder(path.parent)
    xmin, ymin, xmax, ymax = (round(side) for side in tile.box)
    header = scene.header
    level = Level(math.nan, header.width, header.height, 1.0, 1.0)
    with RasterReader(header.uri, header.radiometry, header.version) as reader:
        pixels = reader.read_window(Window(xmin, ymin, xmax - xmin, ymax - ymin), level)
    georef = _georef_at(scene.georef, xmin, ymin, xmax, ymax)
    write_scene(path, xmax - xmin, ymax - ymin, georef, [(Window(0, 0, xmax - xmin, ymax - ymin), pixels)])


def write_labels(folder: Path, items: Sequence[Action]) -> None:
    """Write the COCO file of all checked tiles, beside their images; atomically.

    Airplanes are those with the verdict `right`, detected, corrected or added; one that two models detected has its
    latest box alone. All else on a checked tile is background, so a tile that was checked and found empty is a
    negative. A detection whose verdict was undone is ignored.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(folder / LABELS_FILE, json.dumps(to_coco(items), indent=1) + "\n")


def to_coco(items: Iterable[Action]) -> dict[str, Any]:
    """Return the COCO labels of the checked tiles."""
    listed = list(items)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    undecided = [item for item in listed if item.verdict == "none" and item.score is not None]
    labelled = [*(boxes[0] for boxes in known_airplanes(listed)), *undecided]
    for tile in (item for item in listed if item.verdict == "checked"):
        left, top, right, bottom = tile.box
        number = len(images) + 1
        name = f"{IMAGES}/{_image_name(tile)}"
        images.append({"id": number, "file_name": name, "width": round(right - left), "height": round(bottom - top)})
        for item in labelled:
            xmin, ymin, xmax, ymax = item.box
            on_tile = item.scene == tile.scene and xmin < right and xmax > left and ymin < bottom and ymax > top
            if not on_tile:
                continue
            # Not clipped: the reader ignores an airplane of which too little is on the tile.
            bbox = [round(side, 2) for side in (xmin - left, ymin - top, xmax - xmin, ymax - ymin)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": bbox,
                    "area": round(bbox[2] * bbox[3], 2),
                    "iscrowd": int(item.verdict == "none"),
                }
            )
    categories = [{"id": 1, "name": "airplane"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def to_geojson(items: Iterable[Action]) -> dict[str, Any]:
    """Return all reviewed items as a FeatureCollection, lon/lat; tiles have the verdict `checked`."""
    features = [
        {
            "type": "Feature",
            "id": item.item,
            "geometry": geojson_mapping(item.geometry),
            "properties": {
                "item": item.item,
                "verdict": item.verdict,
                "added": item.score is None and item.verdict != "checked",
                "scene_id": item.scene_id,
                "scene_uri": item.scene_uri,
                "score": item.score,
                "model": item.model,
                "reviewer": item.reviewer,
                "at": item.at,
                **dict(zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), item.box, strict=True)),
            },
        }
        for item in items
        if item.verdict != "none"
    ]
    return {"type": "FeatureCollection", "features": features}


def _image_name(tile: Action) -> str:
    # By the fingerprint as well: another scene under the same name is another image.
    digits = "".join(character for character in tile.scene_id if character.isalnum())[:12]
    return f"{tile.scene}-{digits}-{round(tile.box[0])}-{round(tile.box[1])}.tif"


def _georef_at(georef: BaseGeoReference, xmin: int, ymin: int, xmax: int, ymax: int) -> GeoReference:
    """Return the affine georeference of a part of a scene; for one that has no affine, that of its corners."""
    if isinstance(georef, GeoReference):
        return GeoReference(georef.affine @ Affine.translation(xmin, ymin), georef.crs)
    corners = np.array([[xmin, ymin], [xmax, ymin], [xmin, ymax]], np.float64)
    origin, right, below = np.unwrap(georef.pixel_to_lonlat(corners), period=360.0, axis=0)
    (a, d), (b, e) = (right - origin) / (xmax - xmin), (below - origin) / (ymax - ymin)
    return GeoReference(Affine(a, b, origin[0], d, e, origin[1]), CRS.from_user_input("OGC:CRS84"))
