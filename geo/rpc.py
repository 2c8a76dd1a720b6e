"""Rasters that lie by rational polynomial coefficients (RPCs): by GDAL, from a place and its height to a pixel."""

import atexit
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pyproj import CRS
from rasterio.errors import TransformWarning
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from geo.errors import GeoreferenceError
from geo.georef import BaseGeoReference
from geo.types import FloatArray

Coefficients = tuple[tuple[str, str], ...]

# What cannot be transformed is not finite here.
warnings.filterwarnings("ignore", category=TransformWarning)

_WGS84 = CRS("EPSG:4326")


@dataclass(frozen=True, slots=True)
class RpcGeoReference(BaseGeoReference):
    """RPCs, and the one height at which the ground is taken to lie.

    Args:
        coefficients: GDAL's names and texts of them.
        height_m: Metres above the WGS84 ellipsoid.

    Raises:
        GeoreferenceError: The height is no number.
    """

    coefficients: Coefficients
    height_m: float
    crs: CRS = _WGS84

    def __post_init__(self) -> None:
        if not math.isfinite(self.height_m):
            raise GeoreferenceError(
                f"expected a height in metres above the ellipsoid, got {self.height_m}: set another rpc_height_m"
            )

    def pixel_to_map(self, xy: FloatArray) -> FloatArray:
        """Returns longitudes and latitudes (N, 2) at the height of the ground, of pixel coordinates (N, 2)."""
        columns, rows = np.asarray(xy, dtype=np.float64).T
        # "ul": whole numbers are corners of pixels.
        return np.column_stack(_transformer(self.coefficients).xy(rows, columns, zs=self._heights(rows), offset="ul"))

    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Returns pixel coordinates (N, 2) of longitudes and latitudes (N, 2); not finite where there is none."""
        lon, lat = np.asarray(mapped, dtype=np.float64).T
        # Positive: GDAL's own numbers, not rounded.
        rows, columns = _transformer(self.coefficients).rowcol(lon, lat, zs=self._heights(lon), op=np.positive)
        return np.column_stack([columns, rows])

    def _heights(self, like: FloatArray) -> FloatArray:
        return np.full_like(like, self.height_m)


@lru_cache(maxsize=64)
def _transformer(coefficients: Coefficients) -> Any:
    # From a pixel to its place GDAL searches; it would stop as soon as it comes within a tenth of a pixel.
    return RPCTransformer(RPC.from_gdal(dict(coefficients)), RPC_PIXEL_ERROR_THRESHOLD=1e-6, RPC_MAX_ITERATIONS=50)


# Freed in the interpreter's last moments, rasterio's transformers raise what nothing can catch; pytest shows it.
atexit.register(_transformer.cache_clear)
