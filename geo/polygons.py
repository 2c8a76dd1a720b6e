"""Boxes on the ground: outlines in longitude and latitude after RFC 7946, and sizes in metres."""

from typing import Any

import numpy as np
import shapely

from geo.georef import BaseGeoReference
from geo.types import FloatArray

# A seventh decimal of a degree is a centimetre on the ground.
_DECIMALS = 7


def ground_polygon(box: FloatArray, georef: BaseGeoReference) -> shapely.Polygon | shapely.MultiPolygon:
    """Returns the outline of an upright pixel box on the ground.

    Args:
        box: (4,) xmin, ymin, xmax, ymax in pixels of the georeferenced raster.
        georef: Where that raster lies.

    Returns:
        Longitude and latitude in degrees (OGC:CRS84) with 7 decimals, counter-clockwise and closed; a Polygon, or where
        it crosses the antimeridian a MultiPolygon cut there (RFC 7946, 3.1.6 and 3.1.9).

    Raises:
        GeoreferenceError: The box lies where the CRS has no place on the Earth.
    """
    xmin, ymin, xmax, ymax = box
    corners = np.array([[xmin, ymin], [xmin, ymax], [xmax, ymax], [xmax, ymin]])
    ring = georef.pixel_to_lonlat(corners)
    # Consecutive longitudes: a step of more than half the world goes the other way around.
    ring[:, 0] = np.unwrap(ring[:, 0], period=360.0)
    whole = shapely.Polygon(ring)
    inside = np.abs(ring[:, 0]).max() <= 180
    outline = whole if inside else _cut_at_antimeridian(whole)
    rounded = shapely.transform(outline, lambda lonlat: np.round(lonlat, _DECIMALS) + 0.0)
    return shapely.orient_polygons(rounded, exterior_cw=False)


def _cut_at_antimeridian(polygon: shapely.Polygon) -> shapely.Polygon | shapely.MultiPolygon:
    """Moves the parts of a polygon that lie beyond 180 degrees to where the world continues."""
    world = shapely.box(-180, -90, 180, 90)
    ring = shapely.get_coordinates(polygon)
    copies = [shapely.Polygon(ring + np.array([by, 0.0])) for by in (-360, 0, 360)]
    parts = [part for part in shapely.intersection(copies, world) if part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def geojson_mapping(geometry: shapely.Polygon | shapely.MultiPolygon) -> dict[str, Any]:
    """Returns the GeoJSON object of a geometry: its type, and its coordinates as nested lists."""
    mapping: dict[str, Any] = shapely.geometry.mapping(geometry)
    return {"type": mapping["type"], "coordinates": _lists(mapping["coordinates"])}


def _lists(coordinates: Any) -> Any:
    return [_lists(item) for item in coordinates] if isinstance(coordinates, tuple) else coordinates


def size_m(box: FloatArray, georef: BaseGeoReference) -> float:
    """Returns the longer side of an upright pixel box on the ground, geodesic metres through its middle."""
    xmin, ymin, xmax, ymax = box
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    start, end = np.array([[xmin, y], [x, ymin]]), np.array([[xmax, y], [x, ymax]])
    return float(georef.ground_distance_m(start, end).max())
