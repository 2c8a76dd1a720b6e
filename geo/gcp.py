"""Rasters that lie by ground control points: pixels whose places on the map are known, and GDAL's way between them."""

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

# What cannot be transformed is not finite here.
warnings.filterwarnings("ignore", category=TransformWarning)

# GDAL's polynomial has no terms for more points than 9; solving for a thin plate takes seconds from 2000 on.
_THIN_PLATE_FROM, _THIN_PLATE_TO = 10, 2000
_REMEDY = "write others, e.g. with gdal_edit.py -gcp, or warp the scene with gdalwarp"


@dataclass(frozen=True, slots=True)
class GcpGeoReference(BaseGeoReference):
    """Ground control points, and the coordinate system of the map that they lie on.

    From 10 points on a thin plate bends through all of them; fewer make a polynomial of the order that GDAL chooses: 1,
    or 2 from 6 points on (a thin plate again where these do not determine it, as 2 rows of 3 do not). Forward is what
    GDAL says; back is its inverse, mended until it meets the forward way.

    Args:
        points: (column, row, x, y) of each, pixels with corner origin; longitudes may jump at the antimeridian.
        crs: A projected or geographic coordinate system; only its horizontal part is kept.

    Raises:
        GeoreferenceError: They are too few, too many, on one line, not finite or contradict each other, or the system
            does not lie on the Earth.
    """

    points: Points
    crs: CRS

    def __post_init__(self) -> None:
        object.__setattr__(self, "crs", horizontal(self.crs))
        _check_numbers(self.points)
        object.__setattr__(self, "points", _on_one_side(self.points, self.crs))
        _check_shape(np.array(self.points, dtype=np.float64))

    def pixel_to_map(self, xy: FloatArray) -> FloatArray:
        """Returns map coordinates (N, 2) of pixel coordinates (N, 2), in the units of the CRS."""
        columns, rows = np.asarray(xy, dtype=np.float64).T
        # Positive: GDAL's own numbers, not rounded.
        y, x = _transformer(self.points).rowcol(columns, rows, zs=np.zeros(len(rows)), op=np.positive)
        return np.column_stack([x, y])

    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Returns pixel coordinates (N, 2) of map coordinates (N, 2); not finite where no pixel shows the place."""
        x, y = np.asarray(mapped, dtype=np.float64).T
        columns, rows = _transformer(self.points).xy(y, x, zs=np.zeros(len(x)), offset="ul")
        return self._mended(np.column_stack([columns, rows]), np.column_stack([x, y]))

    def _mended(self, pixel: FloatArray, mapped: FloatArray) -> FloatArray:
        """Newton's method: GDAL fits a polynomial of its own for the way back, which is not the inverse of the other.

        Args:
            pixel: (N, 2), a first guess.
            mapped: (N, 2), what the pixels should show.
        """
        step = np.zeros_like(pixel)
        for _ in range(10):
            step = _solved(*self._slopes(pixel), mapped - self.pixel_to_map(pixel))
            pixel = pixel + step
            if not (np.abs(step) > 1e-9).any():  # what is no number stays none
                break
        return np.where(np.abs(step).max(axis=1, keepdims=True, initial=0) < 1e-3, pixel, np.nan)

    def _slopes(self, pixel: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns how map coordinates change from column to column and from row to row, (N, 2) each."""
        right, down = np.array([0.5, 0.0]), np.array([0.0, 0.5])
        along_columns = self.pixel_to_map(pixel + right) - self.pixel_to_map(pixel - right)
        return along_columns, self.pixel_to_map(pixel + down) - self.pixel_to_map(pixel - down)


def _solved(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Returns (s, t), (N, 2), with s * a + t * b = c, all (N, 2); not finite where there is none."""
    with np.errstate(all="ignore"):
        return np.column_stack([_cross(c, b), _cross(a, c)]) / _cross(a, b)[:, None]


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _check_numbers(points: Points) -> None:
    if len(points) < 3:
        raise GeoreferenceError(f"expected 3 or more ground control points, got {len(points)}: {_REMEDY}")
    if not np.isfinite(points).all():
        raise GeoreferenceError(f"expected ground control points of finite numbers, got others: {_REMEDY}")


def _check_shape(array: FloatArray) -> None:
    if not (_spans(array[:, :2]) and _spans(array[:, 2:])):
        raise GeoreferenceError(f"expected ground control points that span an area, got points on a line: {_REMEDY}")
    if _bends(array):
        _check_thin_plate(array)


def _check_thin_plate(array: FloatArray) -> None:
    if len(array) > _THIN_PLATE_TO:
        raise GeoreferenceError(
            f"expected at most {_THIN_PLATE_TO} ground control points, got {len(array)}: write fewer, or warp the "
            "scene with gdalwarp"
        )
    apart = len(np.unique(array, axis=0))
    if min(len(np.unique(side, axis=0)) for side in (array[:, :2], array[:, 2:])) < apart:
        raise GeoreferenceError(
            f"expected ground control points of one pixel and one place each, got two for the same: {_REMEDY}"
        )


def _spans(xy: FloatArray) -> bool:
    """Says whether points (N, 2) do not lie on a line."""
    longer, shorter = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)
    return bool(shorter > 1e-6 * longer)


def _bends(array: FloatArray) -> bool:
    """Says whether a thin plate goes through the points (N, 4), or a polynomial between them."""
    if not 6 <= len(array) < _THIN_PLATE_FROM:
        return len(array) >= _THIN_PLATE_FROM
    return not (_determine_order_2(array[:, :2]) and _determine_order_2(array[:, 2:]))


def _determine_order_2(xy: FloatArray) -> bool:
    """Says whether points (N, 2) determine a polynomial of order 2: they do not where all lie on one conic."""
    x, y = ((xy - xy.mean(axis=0)) / np.ptp(xy, axis=0)).T
    spread = np.linalg.svd(np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y]), compute_uv=False)
    return bool(spread[-1] > 1e-3 * spread[0])


def _on_one_side(points: Points, crs: CRS) -> Points:
    """Moves longitudes by whole turns to within half of one of the first, as GDAL does at the antimeridian."""
    if not crs.is_geographic:
        return points
    turn = round(math.tau / crs.axis_info[0].unit_conversion_factor, 9)
    first = points[0][2]
    return tuple((column, row, x - turn * round((x - first) / turn), y) for column, row, x, y in points)


@lru_cache(maxsize=64)
def _transformer(points: Points) -> Any:
    """Returns GDAL's way with pixels and places exchanged.

    GDAL fits a thin plate one way and searches for the other, and rasterio has it fit the places: so what rasterio
    takes for places are the pixels.
    """
    gcps = [GroundControlPoint(row=y, col=x, x=column, y=row) for column, row, x, y in points]
    return GCPTransformer(gcps, tps=_bends(np.array(points)))


# Freed in the interpreter's last moments, rasterio's transformers raise what nothing can catch; pytest shows it.
atexit.register(_transformer.cache_clear)
