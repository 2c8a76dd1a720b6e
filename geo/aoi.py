"""Areas of interest: in longitude and latitude, in the pixels of a scene, and filters for tiles and detections."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.features import geometry_mask

from geo.errors import ConfigError
from geo.georef import BaseGeoReference
from geo.grid import SEAM_PX, Level, Tile, Tiling, plan_tiles
from geo.types import FloatArray

Polygons: TypeAlias = shapely.Polygon | shapely.MultiPolygon
_POLYGON_TYPES = (shapely.Polygon, shapely.MultiPolygon)

# Straight edges are curves in another CRS. Before reprojection, edges are split into segments of at most 1/10000 of the
# area's extent, but no shorter than this (metres, or the equivalent in degrees); the remaining error is millimetres.
_SEGMENT_M = 100.0
_METRES_PER_DEGREE = 111_000.0


@dataclass(frozen=True, slots=True)
class AreaOfInterest:
    """Polygons in longitude and latitude, degrees; continuous, beyond 180 degrees, across the antimeridian."""

    polygons: Polygons

    def in_pixels(self, georef: BaseGeoReference, width: int, height: int) -> Polygons:
        """Return the part of the area inside a scene, in scene pixels; empty if there is none."""
        border = _border_points(width, height)
        centre = (width / 2, height / 2)
        centre_lon = float(georef.pixel_to_lonlat(np.array([centre]))[0, 0])
        bounds = _lonlat_bounds(georef.pixel_to_lonlat(border), centre_lon, _poles_inside(georef, width, height))
        copies = [
            shapely.transform(self.polygons, lambda xy, shift=shift: xy + np.array([shift, 0.0]))
            for shift in (-360, 0, 360)
        ]
        clipped = polygons_of(shapely.union_all([shapely.intersection(copy, bounds) for copy in copies]))
        segments = shapely.segmentize(clipped, _SEGMENT_M / _METRES_PER_DEGREE)
        in_pixels = shapely.transform(segments, lambda lonlat: georef.lonlat_to_pixel(lonlat, centre))
        return polygons_of(shapely.intersection(shapely.make_valid(in_pixels), shapely.box(0, 0, width, height)))


def build_aoi(geometries: Iterable[shapely.Geometry], crs: CRS) -> AreaOfInterest:
    """Return the union of polygons as an area of interest.

    Args:
        geometries: polygons and MultiPolygons, with or without holes, x before y.
        crs: their CRS, projected or geographic.

    Raises:
        ConfigError: there is no polygon, or one extends beyond the CRS or contains a pole.
    """
    flat = [shapely.force_2d(geometry) for geometry in geometries if geometry is not None]
    if any(not isinstance(geometry, _POLYGON_TYPES) for geometry in flat):
        types = ", ".join(sorted({geometry.geom_type for geometry in flat}))
        raise ConfigError(f"expected polygons, got {types}: draw an area, or buffer the geometries")
    union = polygons_of(shapely.union_all(shapely.make_valid(flat)))
    if union.is_empty:
        raise ConfigError("expected at least one polygon, got none: draw an area")
    if crs.is_geographic:
        _check_degrees(union)
    to_lonlat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform
    unit_m = math.pi / 180 * 6_378_137 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    xmin, ymin, xmax, ymax = union.bounds
    segment = max(_SEGMENT_M / unit_m, max(xmax - xmin, ymax - ymin) / 10_000)
    parts = shapely.get_parts(shapely.segmentize(union, segment))
    return AreaOfInterest(shapely.union_all([_to_lonlat(part, to_lonlat) for part in parts]))


def _check_degrees(area: Polygons) -> None:
    xmin, ymin, xmax, ymax = area.bounds
    if max(abs(ymin), abs(ymax)) > 90 or max(abs(xmin), abs(xmax)) > 720:
        raise ConfigError(
            f"expected longitude and latitude in degrees, got x from {xmin:.10g} to {xmax:.10g} and y from {ymin:.10g} "
            f"to {ymax:.10g}: write the CRS into the file, or reproject it, e.g. with ogr2ogr -t_srs EPSG:4326"
        )


def polygons_of(geometry: shapely.Geometry) -> Polygons:
    """Return the polygons of a geometry, without the points and lines that clipping leaves."""
    # Twice, because a collection may hold MultiPolygons.
    parts = [part for part in shapely.get_parts(shapely.get_parts(geometry)) if isinstance(part, shapely.Polygon)]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _to_lonlat(polygon: shapely.Polygon, to_lonlat: Callable[..., tuple[FloatArray, FloatArray]]) -> shapely.Polygon:
    """Return a polygon in longitude and latitude, without jumps at the antimeridian, its holes inside it."""
    rings = [_ring_to_lonlat(np.asarray(ring.coords), to_lonlat) for ring in (polygon.exterior, *polygon.interiors)]
    mean_lon = float(rings[0][:, 0].mean())
    # The shell is shifted by full turns to about -180..180, and the holes to the shell.
    shell = rings[0] - np.array([360 * np.round(mean_lon / 360), 0.0])
    holes = [ring + np.array([360 * np.round((shell[0, 0] - ring[0, 0]) / 360), 0.0]) for ring in rings[1:]]
    return shapely.Polygon(shell, holes)


def _ring_to_lonlat(xy: FloatArray, to_lonlat: Callable[..., tuple[FloatArray, FloatArray]]) -> FloatArray:
    lon, lat = to_lonlat(*xy.T)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ConfigError("expected an area on the Earth, got coordinates outside of its CRS: write the right CRS")
    lon = np.unwrap(lon, period=360)
    if abs(lon[0] - lon[-1]) > 1e-6:
        raise ConfigError("expected an area without a pole in it, got one around a pole: cut it along a meridian")
    return np.column_stack([lon, lat])


def _border_points(width: int, height: int) -> FloatArray:
    """Return points along the border of a scene, (N, 2) pixels."""
    x, y = np.linspace(0, width, 33), np.linspace(0, height, 33)
    sides = [(x, 0 * x), (x, 0 * x + height), (0 * y, y), (0 * y + width, y)]
    return np.concatenate([np.column_stack(side) for side in sides])


def _poles_inside(georef: BaseGeoReference, width: int, height: int) -> list[float]:
    """Return the latitudes of the poles inside a scene."""
    latitudes = []
    for latitude in (-90.0, 90.0):
        ((x, y),) = georef.lonlat_to_pixel(np.array([[0.0, latitude]]), (width / 2, height / 2))
        if 0 <= x <= width and 0 <= y <= height:
            latitudes.append(latitude)
    return latitudes


def _lonlat_bounds(border: FloatArray, centre_lon: float, poles: list[float]) -> shapely.Polygon:
    """Return a rectangle of longitude and latitude around a scene, with a margin.

    Args:
        border: (N, 2) longitude and latitude along the scene's border.
        centre_lon: longitude of the scene's centre.
        poles: latitudes of the poles inside the scene.
    """
    lon = centre_lon + (border[:, 0] - centre_lon + 180) % 360 - 180
    lat = np.append(border[:, 1], poles)
    west, east = (centre_lon - 180, centre_lon + 180) if poles else (lon.min(), lon.max())
    margin = 0.1 * max(lat.max() - lat.min(), east - west) + 0.01
    return shapely.box(west - margin, max(-90.0, lat.min() - margin), east + margin, min(90.0, lat.max() + margin))


def level_bounds(area: Polygons, level: Level) -> tuple[float, float, float, float]:
    """Return xmin, ymin, xmax, ymax of an area (scene pixels) in pixels of a level; NaN if the area is empty."""
    xmin, ymin, xmax, ymax = area.bounds
    return xmin / level.scale_x, ymin / level.scale_y, xmax / level.scale_x, ymax / level.scale_y


def tiles_in_area(area: Polygons, level: Level, tiling: Tiling) -> Iterator[Tile]:
    """Yield the tiles of a level that may own an airplane centred in the area (scene pixels), row by row."""
    shapely.prepare(area)
    for tile in plan_tiles(level, tiling, level_bounds(area, level)):
        core, level = tile.core, tile.level
        left, top, right, bottom = core.col - SEAM_PX, core.row - SEAM_PX, core.right + SEAM_PX, core.bottom + SEAM_PX
        box = shapely.box(left * level.scale_x, top * level.scale_y, right * level.scale_x, bottom * level.scale_y)
        if shapely.intersects(area, box):
            yield tile


def points_in_area(area: Polygons, xy: FloatArray) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in the area or on its border, bool (N,)."""
    shapely.prepare(area)
    return np.asarray(shapely.intersects_xy(area, *np.asarray(xy, dtype=np.float64).T), dtype=np.bool_)


def core_mask(area: Polygons, tile: Tile) -> NDArray[np.bool_]:
    """Return which pixels of a tile's core have their centre in the area (scene pixels), (core height, core width)."""
    core, level = tile.core, tile.level
    to_scene = Affine.scale(level.scale_x, level.scale_y) @ Affine.translation(core.col, core.row)
    return np.asarray(geometry_mask([area], (core.height, core.width), to_scene, invert=True), dtype=np.bool_)
