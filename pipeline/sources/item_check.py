"""A STAC Item against its raster: an Item may belong to another file than its asset's href."""

from __future__ import annotations

import numpy as np
from affine import Affine
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from geo.errors import FinderError, GeoreferenceError
from geo.georef import BaseGeoReference, GeoReference
from geo.raster.header import SceneHeader
from geo.types import FloatArray
from pipeline.values import SceneSource

_GEOD = Geod(ellps="WGS84")
_LONLAT = "OGC:CRS84"


def check_item_matches_raster(source: SceneSource, header: SceneHeader, georef: BaseGeoReference) -> None:
    """Check that the size, CRS and affine of a STAC Item are those of its raster; fields that it lacks are not checked.

    CRSs, and affines, match if they put every corner of the raster within one pixel of where the raster puts it: a CRS
    has many spellings, and the affine in an Item may be rounded.

    Raises:
        GeoreferenceError: they differ; the message gives both values.
    """
    if source.size is not None and source.size != (header.width, header.height):
        raise _mismatch(header, "{} x {} px".format(*source.size), f"{header.width} x {header.height} px")
    if source.crs is None and source.affine is None:
        return
    corners = np.array([[x, y] for x in (0.0, header.width) for y in (0.0, header.height)])
    expected = georef.pixel_to_lonlat(corners)
    crs = georef.crs if source.crs is None else _parse_crs(source.crs, header)
    same_crs = georef.crs.equals(crs, ignore_axis_order=True)
    if not (same_crs or _is_close(_reinterpreted(expected, georef.crs, crs), expected, header)):
        authority = georef.crs.to_authority()
        raise _mismatch(header, str(source.crs), ":".join(authority) if authority else georef.crs.name)
    if source.affine is not None and not _is_close(_lonlat(source.affine, georef.crs, corners), expected, header):
        raise _mismatch(header, f"the affine {source.affine}", "another position or size of the pixels")


def _parse_crs(text: str, header: SceneHeader) -> CRS:
    try:
        return CRS.from_user_input(text).to_2d()
    except ProjError as error:
        raise GeoreferenceError(
            f"{header.uri}: expected a CRS that PROJ knows in its STAC item, got {text}: "
            "fix the item, or name the raster itself"
        ) from error


def _reinterpreted(lonlat: FloatArray, crs: CRS, other: CRS) -> FloatArray | None:
    """Return the lon/lat, (N, 2), of the same map coordinates read in another CRS; None for another celestial body."""
    try:
        map_xy = Transformer.from_crs(_LONLAT, crs, always_xy=True).transform(*lonlat.T)
        return np.column_stack(Transformer.from_crs(other, _LONLAT, always_xy=True).transform(*map_xy))
    except ProjError:
        return None


def _lonlat(affine: tuple[float, ...], crs: CRS, corners: FloatArray) -> FloatArray | None:
    try:
        return GeoReference(Affine(*affine), crs).pixel_to_lonlat(corners)
    except FinderError:
        return None


def _is_close(lonlat: FloatArray | None, expected: FloatArray, header: SceneHeader) -> bool:
    """Return whether points, (N, 2) in lon/lat, are within one pixel of the expected ones on the ground."""
    if lonlat is None or not np.isfinite(lonlat).all():
        return False
    distance_m = _GEOD.inv(*lonlat.T, *expected.T)[2]
    return bool((np.asarray(distance_m) <= max(header.resolution_m)).all())


def _mismatch(header: SceneHeader, expected: str, got: str) -> GeoreferenceError:
    return GeoreferenceError(
        f"{header.uri}: expected {expected}, as in its STAC item, got {got} in the file: "
        "fix the item, or name the raster itself"
    )
