"""Georeferences: pixels to longitude and latitude and back, and distances on the ground.

Holds the base class of all georeferences, and the affine one of most rasters, which is exact for rotated, mirrored and
south-up rasters and across the antimeridian. All coordinates are float64.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from geo.errors import GeoreferenceError
from geo.types import FloatArray

_GEOD = Geod(ellps="WGS84")
# Projections whose x wraps around the world (EPSG method names).
_CYLINDRICAL = (
    "Popular Visualisation Pseudo Mercator",
    "Mercator (variant A)",
    "Mercator (variant B)",
    "Equidistant Cylindrical",
    "Equidistant Cylindrical (Spherical)",
)


class BaseGeoReference(ABC):
    """Base of all georeferences: subclasses convert pixels to map coordinates and back, the rest follows.

    Attributes:
        crs: the horizontal CRS of the map, projected or geographic.
    """

    __slots__ = ()
    crs: CRS

    @abstractmethod
    def pixel_to_map(self, xy: FloatArray) -> FloatArray:
        """Return map coordinates (N, 2) of pixel coordinates (N, 2), in the units of the CRS."""

    @abstractmethod
    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Return pixel coordinates (N, 2) of map coordinates (N, 2); not finite where there is none."""

    def pixel_to_lonlat(self, xy: FloatArray) -> FloatArray:
        """Return (lon, lat) in degrees on WGS84, (N, 2), of pixel coordinates (N, 2); -180 <= lon <= 180.

        Raises:
            GeoreferenceError: a pixel is outside the domain of the CRS.
        """
        lon, lat = self._transformer().transform(*self.pixel_to_map(xy).T)
        if not (np.isfinite(lon).all() and (np.abs(lat) <= 90 + 1e-9).all()):
            raise GeoreferenceError(
                f"expected pixels on the Earth, got coordinates outside of the CRS {self.crs.name!r}: "
                "the transform and the CRS do not match; write the right ones, e.g. with gdal_edit.py"
            )
        return np.column_stack([_wrap(lon, 360.0), lat])

    def lonlat_to_pixel(self, lonlat: FloatArray, near: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
        """Return pixel coordinates (N, 2) of (lon, lat) in degrees on WGS84, (N, 2).

        Args:
            lonlat: (N, 2); longitudes are periodic, 190 equals -170.
            near: pixel (x, y) inside the raster. If the map wraps around the world, the copy of a point nearest to this
                pixel is returned.

        Returns:
            (N, 2), not finite for points outside the domain of the CRS or of the georeference.
        """
        transformer = self._transformer()
        lon, lat = _wrap(lonlat[:, 0], 360.0), lonlat[:, 1]
        rough = transformer.transform(lon, lat, direction="INVERSE")
        # The inverse of a datum shift is off by up to centimetres; one step of correction makes it exact.
        again = transformer.transform(*transformer.transform(*rough), direction="INVERSE")
        mapped = 2 * np.column_stack(rough) - np.column_stack(again)
        if self.crs.is_geographic or self._projection_method() in _CYLINDRICAL:
            near_x = self.pixel_to_map(np.array([near]))[0, 0]
            mapped[:, 0] = near_x + _wrap(mapped[:, 0] - near_x, self._world_width())
        return self.map_to_pixel(mapped)

    def ground_distance_m(self, start: FloatArray, end: FloatArray) -> FloatArray:
        """Return geodesic distances on WGS84, metres (N,), between pixel coordinates (N, 2) and (N, 2)."""
        (lon1, lat1), (lon2, lat2) = self.pixel_to_lonlat(start).T, self.pixel_to_lonlat(end).T
        return np.asarray(_GEOD.inv(lon1, lat1, lon2, lat2)[2], dtype=np.float64)

    def ground_resolution_m(self, x: float, y: float) -> tuple[float, float]:
        """Return metres on the ground per pixel, along columns and along rows, at pixel (x, y).

        Geodesic: a Web Mercator pixel counts as what it covers on the ground, and degrees are converted to metres.
        """
        steps = np.array([[0.5, 0.0], [0.0, 0.5]])
        along_columns, along_rows = self.ground_distance_m(np.array([x, y]) - steps, np.array([x, y]) + steps)
        return float(along_columns), float(along_rows)

    def _transformer(self) -> Transformer:
        x, y = self.pixel_to_map(np.zeros((1, 2)))[0].tolist()
        return _single_operation(self.crs.srs, x, y)

    def _projection_method(self) -> str | None:
        operation = self.crs.coordinate_operation
        return None if operation is None else operation.method_name

    def _world_width(self) -> float:
        """Return the length of the equator in map units."""
        x, _ = self._transformer().transform(np.array([0.0, 1, 90, 91]), np.zeros(4), direction="INVERSE")
        # Wherever the map is cut, at least one of the two pairs does not straddle the cut.
        return float(360 * min(abs(x[1] - x[0]), abs(x[3] - x[2])))


@dataclass(frozen=True, slots=True)
class GeoReference(BaseGeoReference):
    """An affine transform from pixels to map coordinates.

    Args:
        affine: (column, row) with corner origin to (x, y) of the map: easting and northing, or longitude and latitude.
        crs: a projected or geographic CRS; reduced to its horizontal part.

    Raises:
        GeoreferenceError: the transform is singular or not finite, or the CRS is not an Earth CRS.
    """

    affine: Affine
    crs: CRS

    def __post_init__(self) -> None:
        numbers = tuple(self.affine)[:6]
        if not all(math.isfinite(number) for number in numbers) or self.affine.determinant == 0:
            raise GeoreferenceError(
                f"expected an invertible affine transform, got {numbers}: write another, e.g. with gdal_edit.py -a_ullr"
            )
        object.__setattr__(self, "crs", horizontal(self.crs))

    def pixel_to_map(self, xy: FloatArray) -> FloatArray:
        """Return map coordinates (N, 2) of pixel coordinates (N, 2), in the units of the CRS."""
        return _apply(self.affine, xy)

    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Return pixel coordinates (N, 2) of map coordinates (N, 2)."""
        return _apply(~self.affine, mapped)


def horizontal(crs: CRS) -> CRS:
    """Return the horizontal part of a CRS.

    Raises:
        GeoreferenceError: it is neither projected nor geographic.
    """
    if not (crs.is_projected or crs.is_geographic):
        raise GeoreferenceError(
            f"expected a projected or geographic CRS, got {crs.type_name} {crs.name!r}: "
            "write the right one, e.g. with gdal_edit.py -a_srs EPSG:32632"
        )
    return crs.to_2d()


def _apply(affine: Affine, xy: FloatArray) -> FloatArray:
    x, y = np.asarray(xy, dtype=np.float64).T
    a, b, c, d, e, f = tuple(affine)[:6]
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def _wrap(values: FloatArray, period: float) -> FloatArray:
    """Shift values by whole periods into [-period / 2, period / 2]; values already inside are returned bit for bit."""
    values = np.asarray(values, dtype=np.float64)
    return np.asarray(np.where(np.abs(values) <= period / 2, values, values - period * np.round(values / period)))


@lru_cache(maxsize=256)
def _single_operation(crs: str, x: float, y: float) -> Transformer:
    """Return the operation to WGS84 longitude and latitude that PROJ selects at the map coordinates (x, y).

    For an older datum PROJ has several and selects one for each point, which would cause jumps within a scene.
    """
    operations = _operations(crs)
    operations.transform(x, y)
    try:
        chosen = operations.get_last_used_operation().definition
    except ProjError:  # there is only one, the identity
        return operations
    return Transformer.from_pipeline(chosen)


@lru_cache(maxsize=64)
def _operations(crs: str) -> Transformer:
    # Takes up to a second for a datum with many shifts.
    return Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
