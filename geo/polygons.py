"""Geometry on the ground: RFC 7946 polygons of boxes and outlines, lengths in metres, and a local plane of metres."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from geo.georef import BaseGeoReference
from geo.outline import ground_rectangle
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
    return _polygon(georef.pixel_to_lonlat(corners))


def outline_polygon(points: FloatArray, georef: BaseGeoReference) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the rectangle around nose, tail and wingtips on the ground, turned with the airplane.

    Args:
        points: (4, 2) nose, tail, left and right wingtip, pixels of the raster.
        georef: the raster's georeference.

    Returns:
        As `ground_polygon` does.

    Raises:
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    return _polygon(ground_rectangle(points, georef))


def _polygon(ring: FloatArray) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the polygon of corners (N, 2), longitude and latitude in degrees."""
    # A step of more than 180 degrees between corners is a jump at the antimeridian.
    lonlat = np.column_stack([np.unwrap(ring[:, 0], period=360.0), ring[:, 1]])
    outline = shapely.Polygon(lonlat)
    if np.abs(lonlat[:, 0]).max() > 180:
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


@dataclass(frozen=True, slots=True)
class LocalPlane:
    """Metres east and north of a point: azimuthal equidistant on WGS84.

    Distances from the point are exact; others are off by less than 1 mm per km within 10 km of it.

    Args:
        lon: longitude of the point, degrees.
        lat: latitude of the point, degrees.
    """

    lon: float
    lat: float

    def to_metres(self, lonlat: FloatArray) -> FloatArray:
        """Return metres east and north, (N, 2), of longitudes and latitudes in degrees, (N, 2); 190 equals -170."""
        lonlat = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
        return np.column_stack(_transformer(self.lon, self.lat).transform(*lonlat.T))

    def to_lonlat(self, metres: FloatArray) -> FloatArray:
        """Return longitudes and latitudes in degrees, (N, 2), of metres east and north, (N, 2); -180 <= lon <= 180."""
        metres = np.asarray(metres, dtype=np.float64).reshape(-1, 2)
        east, north = metres.T
        return np.column_stack(_transformer(self.lon, self.lat).transform(east, north, direction="INVERSE"))

    def shape_to_metres(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """Return a geometry in lon/lat degrees as one in metres."""
        return shapely.transform(geometry, self.to_metres)

    def shape_to_lonlat(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """Return a geometry in metres as one in lon/lat degrees; continuous, beyond 180, across the antimeridian."""

        def convert(metres: FloatArray) -> FloatArray:
            lonlat = self.to_lonlat(metres)
            lonlat[:, 0] = self.lon + (lonlat[:, 0] - self.lon + 180) % 360 - 180
            return lonlat

        return shapely.transform(geometry, convert)


@lru_cache(maxsize=256)
def _transformer(lon: float, lat: float) -> Transformer:
    target = f"+proj=aeqd +lon_0={lon!r} +lat_0={lat!r} +datum=WGS84 +units=m"
    return Transformer.from_crs("OGC:CRS84", target, always_xy=True)
