"""Georeference by rational polynomial coefficients (RPCs), evaluated by GDAL at a constant height."""

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

# Points that cannot be transformed become NaN or infinite, without a warning.
warnings.filterwarnings("ignore", category=TransformWarning)

_WGS84 = CRS("EPSG:4326")


@dataclass(frozen=True, slots=True)
class RpcGeoReference(BaseGeoReference):
    """RPCs, and the height of the ground, which is taken as flat.

    Args:
        coefficients: names and values as GDAL's RPC metadata has them.
        height_m: metres above the WGS84 ellipsoid.

    Raises:
        GeoreferenceError: the height is not finite.
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
        """Return longitudes and latitudes (N, 2) at the height of the ground, of pixel coordinates (N, 2)."""
        columns, rows = np.asarray(xy, dtype=np.float64).T
        # "ul": integer coordinates are pixel corners.
        return np.column_stack(_transformer(self.coefficients).xy(rows, columns, zs=self._heights(rows), offset="ul"))

    def map_to_pixel(self, mapped: FloatArray) -> FloatArray:
        """Return pixel coordinates (N, 2) of longitudes and latitudes (N, 2); not finite where there is none."""
        lon, lat = np.asarray(mapped, dtype=np.float64).T
        # np.positive: GDAL's values, not rounded to whole pixels.
        rows, columns = _transformer(self.coefficients).rowcol(lon, lat, zs=self._heights(lon), op=np.positive)
        return np.column_stack([columns, rows])

    def _heights(self, like: FloatArray) -> FloatArray:
        return np.full_like(like, self.height_m)


@lru_cache(maxsize=64)
def _transformer(coefficients: Coefficients) -> Any:
    # From pixel to ground GDAL iterates; by default it stops within a tenth of a pixel.
    return RPCTransformer(RPC.from_gdal(dict(coefficients)), RPC_PIXEL_ERROR_THRESHOLD=1e-6, RPC_MAX_ITERATIONS=50)


# Freed at interpreter shutdown, rasterio's transformers raise errors that nothing can catch.
atexit.register(_transformer.cache_clear)
