"""An area of interest: on the map, in the pixels of a scene, and which tiles and detections belong to it."""

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
from geo.grid import SEAM_PX, Tile
from geo.types import FloatArray

Polygons: TypeAlias = shapely.Polygon | shapely.MultiPolygon
_KINDS = (shapely.Polygon, shapely.MultiPolygon)

# A side is cut into pieces of at most 1/10000 of the area's extent and at least this, metres or the like in degrees,
# before it goes from one map to another, where it is no longer straight. What a piece still bends is millimetres.
_PIECE_M = 100.0
_METRES_BY_DEGREE = 111_000.0


@dataclass(frozen=True, slots=True)
class AreaOfInterest:
    """Polygons on the Earth, longitude and latitude in degrees; longitudes go on beyond 180 where a polygon does."""

    polygons: Polygons

    def in_pixels(self, georef: BaseGeoReference, width: int, height: int) -> Polygons:
        """Returns the part of the area that lies in a scene, in its pixels; empty where there is none."""
        border = _border(width, height)
        centre = (width / 2, height / 2)
        middle = float(georef.pixel_to_lonlat(np.array([centre]))[0, 0])
        near = _near(georef.pixel_to_lonlat(border), middle, _poles(georef, width, height))
        copies = [shapely.transform(self.polygons, lambda xy, by=by: xy + np.array([by, 0.0])) for by in (-360, 0, 360)]
        parts = [shapely.intersection(copy, near) for copy in copies]
        pieces = shapely.segmentize(polygons_of(shapely.union_all(parts)), _PIECE_M / _METRES_BY_DEGREE)
        placed = shapely.transform(pieces, lambda lonlat: georef.lonlat_to_pixel(lonlat, centre))
        return polygons_of(shapely.intersection(shapely.make_valid(placed), shapely.box(0, 0, width, height)))


def build_aoi(geometries: Iterable[shapely.Geometry], crs: CRS) -> AreaOfInterest:
    """Makes one area of polygons of any CRS; what lies in several counts once.

    Args:
        geometries: Polygons and MultiPolygons, with holes or without, x before y.
        crs: A projected or geographic CRS.

    Raises:
        ConfigError: There is no polygon, or one lies outside of the CRS or around a pole.
    """
    flat = [shapely.force_2d(geometry) for geometry in geometries if geometry is not None]
    if any(not isinstance(geometry, _KINDS) for geometry in flat):
        kinds = ", ".join(sorted({geometry.geom_type for geometry in flat}))
        raise ConfigError(f"expected polygons, got {kinds}: draw an area, or buffer what is there")
    whole = polygons_of(shapely.union_all(shapely.make_valid(flat)))
    if whole.is_empty:
        raise ConfigError("expected at least one polygon, got none: draw an area")
    to_lonlat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform
    unit = math.pi / 180 * 6_378_137 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    xmin, ymin, xmax, ymax = whole.bounds
    piece = max(_PIECE_M / unit, max(xmax - xmin, ymax - ymin) / 10_000)
    return AreaOfInterest(
        shapely.union_all([_unrolled(part, to_lonlat) for part in shapely.get_parts(shapely.segmentize(whole, piece))])
    )


def polygons_of(geometry: shapely.Geometry) -> Polygons:
    """Returns the polygons of a geometry, without the points and lines that cutting has left."""
    # A collection may hold MultiPolygons, so it is taken apart twice.
    parts = [part for part in shapely.get_parts(shapely.get_parts(geometry)) if isinstance(part, shapely.Polygon)]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _unrolled(polygon: shapely.Polygon, to_lonlat: Callable[..., tuple[FloatArray, FloatArray]]) -> shapely.Polygon:
    """Moves a polygon to longitude and latitude, each ring without a jump at the antimeridian, holes inside."""
    rings = [_ring(np.asarray(ring.coords), to_lonlat) for ring in (polygon.exterior, *polygon.interiors)]
    middle = float(rings[0][:, 0].mean())
    # The whole polygon comes to lie around the Earth's one turn from -180 to 180, and its holes where it is.
    shell = rings[0] - np.array([360 * np.round(middle / 360), 0.0])
    holes = [ring + np.array([360 * np.round((shell[0, 0] - ring[0, 0]) / 360), 0.0]) for ring in rings[1:]]
    return shapely.Polygon(shell, holes)


def _ring(xy: FloatArray, to_lonlat: Callable[..., tuple[FloatArray, FloatArray]]) -> FloatArray:
    lon, lat = to_lonlat(*xy.T)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ConfigError("expected an area on the Earth, got places outside of its CRS: write the right CRS")
    lon = np.unwrap(lon, period=360)
    if abs(lon[0] - lon[-1]) > 1e-6:
        raise ConfigError("expected an area without a pole in it, got one around a pole: cut it along a meridian")
    return np.column_stack([lon, lat])


def _border(width: int, height: int) -> FloatArray:
    """Returns places along the border of a scene, pixels."""
    x, y = np.linspace(0, width, 33), np.linspace(0, height, 33)
    sides = [(x, 0 * x), (x, 0 * x + height), (0 * y, y), (0 * y + width, y)]
    return np.concatenate([np.column_stack(side) for side in sides])


def _poles(georef: BaseGeoReference, width: int, height: int) -> list[float]:
    """Returns the latitudes of the poles that lie in a scene."""
    found = []
    for pole in (-90.0, 90.0):
        ((x, y),) = georef.lonlat_to_pixel(np.array([[0.0, pole]]), (width / 2, height / 2))
        if 0 <= x <= width and 0 <= y <= height:
            found.append(pole)
    return found


def _near(border: FloatArray, middle: float, poles: list[float]) -> shapely.Polygon:
    """Returns a rectangle of longitude and latitude that holds the scene and a little more."""
    lon = middle + (border[:, 0] - middle + 180) % 360 - 180
    lat = np.append(border[:, 1], poles)
    west, east = (middle - 180, middle + 180) if poles else (lon.min(), lon.max())
    more = 0.1 * max(lat.max() - lat.min(), east - west) + 0.01
    return shapely.box(west - more, max(-90.0, lat.min() - more), east + more, min(90.0, lat.max() + more))


def tiles_in_area(area: Polygons, tiles: Iterable[Tile]) -> Iterator[Tile]:
    """Yields the tiles that may own an airplane whose centre lies in the area (scene pixels), in their order."""
    shapely.prepare(area)
    for tile in tiles:
        core, level = tile.core, tile.level
        left, top, right, bottom = core.col - SEAM_PX, core.row - SEAM_PX, core.right + SEAM_PX, core.bottom + SEAM_PX
        box = shapely.box(left * level.scale_x, top * level.scale_y, right * level.scale_x, bottom * level.scale_y)
        if shapely.intersects(area, box):
            yield tile


def points_in_area(area: Polygons, xy: FloatArray) -> NDArray[np.bool_]:
    """Says which points (N, 2) lie in the area; its border is part of it."""
    shapely.prepare(area)
    return np.asarray(shapely.intersects_xy(area, *np.asarray(xy, dtype=np.float64).T), dtype=np.bool_)


def core_mask(area: Polygons, tile: Tile) -> NDArray[np.bool_]:
    """Returns which pixels of a tile's core have their centre in the area (scene pixels), (core height, core width)."""
    core, level = tile.core, tile.level
    to_scene = Affine.scale(level.scale_x, level.scale_y) @ Affine.translation(core.col, core.row)
    return np.asarray(geometry_mask([area], (core.height, core.width), to_scene, invert=True), dtype=np.bool_)
