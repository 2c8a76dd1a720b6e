"""Georeference by ground control points (GCPs), interpolated by GDAL."""

import atexit
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pyproj import CRS
from rasterio.control import GroundControlPoint
from rasterio.errors import TransformWarning
from rasterio.transform import GCPTransformer

from geo.errors import GeoreferenceError
from geo.georef import BaseGeoReference, horizontal
from geo.types import FloatArray

Points = tuple[tuple[float, float, float, float], ...]

# Points that cannot be transformed become NaN or infinite, without a warning.
warnings.filterwarnings("ignore", category=TransformWarning)

# GDAL's polynomials cannot use more than 9 points; fitting a thin plate spline takes seconds from 2000 points on.
_THIN_PLATE_FROM, _THIN_PLATE_TO = 10, 2000
_REMEDY = "write others, e.g. with gdal_edit.py -gcp, or warp the scene with gdalwarp"


@dataclass(frozen=True, slots=True)
class GcpGeoReference(BaseGeoReference):
    """Ground control points, and the CRS of their map coordinates.

    10 points or more are interpolated by a thin plate spline; fewer by a polynomial of the order that GDAL chooses: 1,
    or 2 from 6 points on (a thin plate spline if the points do not determine it, such as 2 rows of 3). Pixel to map is
    GDAL's; map to pixel is GDAL's estimate, refined to the exact inverse.

    Args:
        points: (column, row, x, y) of each, pixels with corner origin; longitudes may jump at the antimeridian.
        crs: a projected or geographic CRS; reduced to its horizontal part.

    Raises:
        GeoreferenceError: the points are too few, too many, collinear, not finite or contradictory, or the CRS is not
            an Earth CRS.
    """

    points: Points
    crs: CRS

    def __post_init__(self) -> None:
        object.__setattr__(self, "crs", horizontal(self.crs))
        _check_finite(self.points)
        object.__setattr__(self, "points", _unwrap_longitudes(self.points, self.crs))
        _check_geometry(np.array(self.points, dtype=np.float64))

    def pixel_to_map(self, xy: FloatArray) -> FloatArray:
        """Return map coordinates (N, 2) of pixel coordinates (N, 2), in the units of the CRS."""
        columns, rows = np.asarray(xy, dtype=np.float64).T
        # np.positive: GDAL's values, not rounded to whole pixels.
        y, x = _transformer(self.points).rowcol(columns, rows, zs=np.zeros(len(rows)), op=np.positive)
        return np.column_stack([x, y])

    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Return pixel coordinates (N, 2) of map coordinates (N, 2); not finite where there is none."""
        x, y = np.asarray(mapped, dtype=np.float64).T
        columns, rows = _transformer(self.points).xy(y, x, zs=np.zeros(len(x)), offset="ul")
        return self._refine(np.column_stack([columns, rows]), np.column_stack([x, y]))

    def _refine(self, pixel: FloatArray, mapped: FloatArray) -> FloatArray:
        """Return the exact inverse by Newton's method: GDAL's is a polynomial fitted separately, not the inverse.

        Args:
            pixel: (N, 2) initial estimate.
            mapped: (N, 2) map coordinates to be reached.
        """
        step = np.zeros_like(pixel)
        for _ in range(10):
            step = _solve(*self._derivatives(pixel), mapped - self.pixel_to_map(pixel))
            pixel = pixel + step
            if not (np.abs(step) > 1e-9).any():  # False for NaN, which cannot converge
                break
        return np.where(np.abs(step).max(axis=1, keepdims=True, initial=0) < 1e-3, pixel, np.nan)

    def _derivatives(self, pixel: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives of map coordinates by column and by row, (N, 2) each."""
        right, down = np.array([0.5, 0.0]), np.array([0.0, 0.5])
        along_columns = self.pixel_to_map(pixel + right) - self.pixel_to_map(pixel - right)
        return along_columns, self.pixel_to_map(pixel + down) - self.pixel_to_map(pixel - down)


def _solve(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Return (s, t), (N, 2), with s * a + t * b = c, all (N, 2); not finite if there is none."""
    with np.errstate(all="ignore"):
        return np.column_stack([_cross(c, b), _cross(a, c)]) / _cross(a, b)[:, None]


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _check_finite(points: Points) -> None:
    if len(points) < 3:
        raise GeoreferenceError(f"expected 3 or more ground control points, got {len(points)}: {_REMEDY}")
    if not np.isfinite(points).all():
        raise GeoreferenceError(f"expected ground control points with finite coordinates, got others: {_REMEDY}")


def _check_geometry(array: FloatArray) -> None:
    if not (_span_area(array[:, :2]) and _span_area(array[:, 2:])):
        raise GeoreferenceError(f"expected ground control points that span an area, got points on a line: {_REMEDY}")
    if _needs_thin_plate(array):
        _check_thin_plate(array)


def _check_thin_plate(array: FloatArray) -> None:
    if len(array) > _THIN_PLATE_TO:
        raise GeoreferenceError(
            f"expected at most {_THIN_PLATE_TO} ground control points, got {len(array)}: write fewer, or warp the "
            "scene with gdalwarp"
        )
    distinct = len(np.unique(array, axis=0))
    if min(len(np.unique(side, axis=0)) for side in (array[:, :2], array[:, 2:])) < distinct:
        raise GeoreferenceError(
            f"expected ground control points with distinct pixels and map positions, got contradictory ones: {_REMEDY}"
        )


def _span_area(xy: FloatArray) -> bool:
    """Return whether points (N, 2) are not collinear."""
    longer, shorter = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)
    return bool(shorter > 1e-6 * longer)


def _needs_thin_plate(array: FloatArray) -> bool:
    """Return whether the points (N, 4) are interpolated by a thin plate spline instead of a polynomial."""
    if not 6 <= len(array) < _THIN_PLATE_FROM:
        return len(array) >= _THIN_PLATE_FROM
    return not (_determine_order_2(array[:, :2]) and _determine_order_2(array[:, 2:]))


def _determine_order_2(xy: FloatArray) -> bool:
    """Return whether points (N, 2) determine a polynomial of order 2, which they do not if they lie on one conic."""
    x, y = ((xy - xy.mean(axis=0)) / np.ptp(xy, axis=0)).T
    singular = np.linalg.svd(np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y]), compute_uv=False)
    return bool(singular[-1] > 1e-3 * singular[0])


def _unwrap_longitudes(points: Points, crs: CRS) -> Points:
    """Shift longitudes by whole turns to within half a turn of the first, as GDAL does at the antimeridian."""
    if not crs.is_geographic:
        return points
    turn = round(math.tau / crs.axis_info[0].unit_conversion_factor, 9)
    first = points[0][2]
    return tuple((column, row, x - turn * round((x - first) / turn), y) for column, row, x, y in points)


@lru_cache(maxsize=64)
def _transformer(points: Points) -> Any:
    """Return GDAL's transformer with pixel and map coordinates swapped.

    GDAL fits a thin plate spline in one direction and iterates in the other. Through rasterio it fits map to pixel;
    swapped, it fits pixel to map.
    """
    gcps = [GroundControlPoint(row=y, col=x, x=column, y=row) for column, row, x, y in points]
    return GCPTransformer(gcps, tps=_needs_thin_plate(np.array(points)))


# Freed at interpreter shutdown, rasterio's transformers raise errors that nothing can catch.
atexit.register(_transformer.cache_clear)
