"""Boxes on the ground: RFC 7946 outlines in longitude and latitude, and lengths in metres."""

from typing import Any

import numpy as np
import shapely

from geo.georef import BaseGeoReference
from geo.types import FloatArray

# The seventh decimal of a degree is about a centimetre on the ground.
_DECIMALS = 7


def ground_polygon(box: FloatArray, georef: BaseGeoReference) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the outline of an upright pixel box on the ground.

    Args:
        box: (4,) xmin, ymin, xmax, ymax in pixels of the raster.
        georef: the raster's georeference.

    Returns:
        Longitude and latitude in degrees (OGC:CRS84) with 7 decimals, counter-clockwise and closed; a Polygon, or a
        MultiPolygon cut at the antimeridian if it crosses it (RFC 7946, 3.1.6 and 3.1.9).

    Raises:
        GeoreferenceError: a corner of the box is outside the domain of the CRS.
    """
    xmin, ymin, xmax, ymax = box
    corners = np.array([[xmin, ymin], [xmin, ymax], [xmax, ymax], [xmax, ymin]])
    ring = georef.pixel_to_lonlat(corners)
    # A step of more than 180 degrees between corners is a jump at the antimeridian.
    ring[:, 0] = np.unwrap(ring[:, 0], period=360.0)
    outline = shapely.Polygon(ring)
    if np.abs(ring[:, 0]).max() > 180:
        outline = _cut_at_antimeridian(outline)
    rounded = shapely.transform(outline, lambda lonlat: np.round(lonlat, _DECIMALS) + 0.0)
    return shapely.orient_polygons(rounded, exterior_cw=False)


def _cut_at_antimeridian(polygon: shapely.Polygon) -> shapely.Polygon | shapely.MultiPolygon:
    """Cut a polygon at the antimeridian, and shift the parts beyond it to longitudes from -180 to 180."""
    world = shapely.box(-180, -90, 180, 90)
    ring = shapely.get_coordinates(polygon)
    copies = [shapely.Polygon(ring + np.array([shift, 0.0])) for shift in (-360, 0, 360)]
    parts = [part for part in shapely.intersection(copies, world) if part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def geojson_mapping(geometry: shapely.Polygon | shapely.MultiPolygon) -> dict[str, Any]:
    """Return a geometry as a GeoJSON object, its coordinates as nested lists."""
    mapping: dict[str, Any] = shapely.geometry.mapping(geometry)
    return {"type": mapping["type"], "coordinates": _lists(mapping["coordinates"])}


def _lists(coordinates: Any) -> Any:
    return [_lists(item) for item in coordinates] if isinstance(coordinates, tuple) else coordinates


def size_m(box: FloatArray, georef: BaseGeoReference) -> float:
    """Return the longer side of an upright pixel box on the ground, geodesic metres along its two centre lines."""
    xmin, ymin, xmax, ymax = box
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    start, end = np.array([[xmin, y], [x, ymin]]), np.array([[xmax, y], [x, ymax]])
    return float(georef.ground_distance_m(start, end).max())
