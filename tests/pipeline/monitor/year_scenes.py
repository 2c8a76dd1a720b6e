"""The dates of a made year as files: GeoTIFFs with their cloud masks, and STAC Items."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.features import geometry_mask
from scipy.ndimage import gaussian_filter

from geo.georef import GeoReference
from geo.polygons import LocalPlane
from geo.types import FloatArray, ImageArray
from pipeline.monitor.scenes import format_time
from tests.pipeline.monitor.year import Date, Slot, position


@dataclasses.dataclass(frozen=True)
class Site:
    """An airport whose dates are written.

    Args:
        georef: of its scenes, without the shift of a date.
        width: columns of a whole scene.
        height: rows.
        plane: metres east and north of the airport's centre.
        area_m: the airport, metres.
    """

    georef: GeoReference
    width: int
    height: int
    plane: LocalPlane
    area_m: shapely.Geometry

    def to_pixels(self, metres: FloatArray) -> FloatArray:
        return self.georef.lonlat_to_pixel(self.plane.to_lonlat(metres), (self.width / 2, self.height / 2))

    def to_metres(self, pixels: FloatArray) -> FloatArray:
        return self.plane.to_metres(self.georef.pixel_to_lonlat(np.asarray(pixels, np.float64).reshape(-1, 2)))


def make_site(georef: GeoReference, width: int, height: int, border_px: float) -> Site:
    """Return the site of scenes; the airport is what lies `border_px` inside of them."""
    ((lon, lat),) = georef.pixel_to_lonlat(np.array([[width / 2, height / 2]])).round(6).tolist()
    plane = LocalPlane(lon, lat)
    corners = shapely.box(border_px, border_px, width - border_px, height - border_px)
    site = Site(georef, width, height, plane, shapely.Point(0, 0))
    area = shapely.transform(corners, site.to_metres)
    return dataclasses.replace(site, area_m=area)


def write_airport(path: Path, site: Site, slots: Sequence[Slot]) -> None:
    """Write the file of the airport, with a stand for each slot."""
    ring = site.plane.to_lonlat(shapely.get_coordinates(site.area_m)[:-1]).round(7).tolist()
    centres = site.plane.to_lonlat(np.array([(slot.x, slot.y) for slot in slots])).round(7).tolist()
    stands = [{"id": f"S{number}", "centre": centre, "radius_m": 18} for number, centre in enumerate(centres)]
    airport = {"name": "Made", "id": "MADE", "polygon": ring, "stands": stands}
    path.write_text(json.dumps({"airports": [airport]}), encoding="utf-8")  # JSON is YAML


def write_date(folder: Path, date: Date, image: ImageArray, site: Site, cloud_level: int, base: str) -> dict[str, Any]:
    """Write a date, and return its Item, with assets at `base`.

    Args:
        folder: for the files.
        date: the date: its clouds, its part and its shift are applied.
        image: the whole scene, uint8 (height, width, 3), in clear weather.
        site: the airport.
        cloud_level: colour of clouds.
        base: address or folder of the files.
    """
    image = image.copy()
    cloud = np.zeros(image.shape[:2], np.bool_)
    if date.clouds:
        cloud = geometry_mask(
            [shapely.transform(date.cloud(), site.to_pixels)], cloud.shape, Affine.identity(), invert=True
        )
        # Soft edges inside of the mask, which takes in all that is cloud.
        share = gaussian_filter(cloud.astype(np.float32), 6.0)[..., None] * cloud[..., None]
        image = np.rint(image * (1 - share) + cloud_level * share).astype(np.uint8)
    left, top, right, bottom = 0, 0, site.width, site.height
    if date.shown is not None:
        bounds = shapely.transform(date.shown, site.to_pixels).bounds
        left, top = max(left, round(bounds[0])), max(top, round(bounds[1]))
        right, bottom = min(right, round(bounds[2])), min(bottom, round(bounds[3]))
    transform = Affine.translation(*date.shift) @ site.georef.affine @ Affine.translation(left, top)
    assets: dict[str, Any] = {"visual": {"href": f"{base}/{date.name}.tif", "type": "image/tiff"}}
    _write_tiff(folder / f"{date.name}.tif", image[top:bottom, left:right].transpose(2, 0, 1), site, transform)
    if date.clouds:
        _write_tiff(
            folder / f"{date.name}-cloud.tif", cloud[None, top:bottom, left:right].astype(np.uint8), site, transform
        )
        assets["cloud"] = {"href": f"{base}/{date.name}-cloud.tif", "type": "image/tiff", "roles": ["cloud"]}
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    ring = GeoReference(Affine.translation(*date.shift) @ site.georef.affine, site.georef.crs).pixel_to_lonlat(corners)
    footprint = shapely.Polygon(ring)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": date.name,
        "collection": "made",
        "geometry": shapely.geometry.mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": {"datetime": format_time(date.time.replace(microsecond=0))},
        "links": [],
        "assets": assets,
    }


def _write_tiff(path: Path, pixels: np.ndarray[Any, Any], site: Site, transform: Affine) -> None:
    profile = {"driver": "GTiff", "crs": site.georef.crs.to_wkt(), "transform": transform, "compress": "deflate"}
    count, height, width = pixels.shape
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256} if min(width, height) >= 256 else {}
    with rasterio.open(path, "w", width=width, height=height, count=count, dtype="uint8", **profile) as dataset:
        dataset.write(pixels)


# Rectangles instead of airplanes, which the fake model detects.

SIZE_PX, RECTANGLE_PX = (900, 780), (40, 56)
GROUND, CLOUD = 40, 110


def rectangle_slots(site: Site) -> list[Slot]:
    """A grid of slots, 60 by 80 m, in a site of `SIZE_PX` at 0.5 m."""
    slots = []
    for y in range(140, 660, 160):
        for x in range(110, 840, 120):
            ((east, north),) = site.to_metres(np.array([[x, y]])).tolist()
            slots.append(Slot(east, north, (0.0, 1.0)))
    return slots


def paint_rectangles(site: Site, slots: Sequence[Slot], date: Date, random: np.random.Generator) -> ImageArray:
    """Return the scene of a date: bright rectangles of one size for each airplane, with scores from 0.98 on."""
    image = np.full((site.height, site.width, 3), GROUND, np.uint8)
    for index, airplane in date.parked.items():
        sizes = np.random.default_rng(airplane.number).uniform(0.95, 1.5)
        x, y = site.to_pixels(np.array([position(slots[index], airplane)]))[0] + random.normal(0, 0.6, 2)
        half = np.array(RECTANGLE_PX) * sizes / 2
        left, top, right, bottom = np.rint([x - half[0], y - half[1], x + half[0], y + half[1]]).astype(int)
        image[top:bottom, left:right] = int(random.integers(250, 256))
    return image
