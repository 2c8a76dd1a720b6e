"""Whether a STAC item and its raster speak of the same picture. One of another place or time would be found here."""

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
    """Refuses a raster that its item describes otherwise; what the item does not tell agrees.

    Coordinate systems, and affines, agree where they put every corner within a pixel of where the file puts it: the
    same system has many spellings, and the affine of an item may be rounded.

    Raises:
        GeoreferenceError: size, CRS or affine contradict each other; it names both.
    """
    if source.size is not None and source.size != (header.width, header.height):
        raise _contradiction(header, "{} x {} px".format(*source.size), f"{header.width} x {header.height} px")
    if source.crs is None and source.affine is None:
        return
    corners = np.array([[x, y] for x in (0.0, header.width) for y in (0.0, header.height)])
    true = georef.pixel_to_lonlat(corners)
    told = georef.crs if source.crs is None else _crs(source.crs, header)
    if not (georef.crs.equals(told, ignore_axis_order=True) or _near(_reread(true, georef.crs, told), true, header)):
        raise _contradiction(header, str(source.crs), _name(georef.crs))
    if source.affine is not None and not _near(_placed(source.affine, georef.crs, corners), true, header):
        raise _contradiction(header, f"the affine {source.affine}", "another place or size of the pixels")


def _crs(told: str, header: SceneHeader) -> CRS:
    try:
        return CRS.from_user_input(told).to_2d()
    except ProjError as error:
        raise GeoreferenceError(
            f"{header.uri}: expected a CRS that PROJ knows in its STAC item, got {told}: "
            "mend the item, or name the raster itself"
        ) from error


def _reread(lonlat: FloatArray, crs: CRS, other: CRS) -> FloatArray | None:
    """Returns longitude and latitude of the same map coordinates, read as those of another CRS; None on the Moon."""
    try:
        mapped = Transformer.from_crs(_LONLAT, crs, always_xy=True).transform(*lonlat.T)
        return np.column_stack(Transformer.from_crs(other, _LONLAT, always_xy=True).transform(*mapped))
    except ProjError:
        return None


def _placed(affine: tuple[float, ...], crs: CRS, corners: FloatArray) -> FloatArray | None:
    try:
        return GeoReference(Affine(*affine), crs).pixel_to_lonlat(corners)
    except FinderError:
        return None


def _near(lonlat: FloatArray | None, true: FloatArray, header: SceneHeader) -> bool:
    """Whether places, (N, 2), are within a pixel of the true ones on the ground."""
    if lonlat is None or not np.isfinite(lonlat).all():
        return False
    missed_m = _GEOD.inv(*lonlat.T, *true.T)[2]
    return bool((np.asarray(missed_m) <= max(header.resolution_m)).all())


def _name(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


def _contradiction(header: SceneHeader, told: str, found: str) -> GeoreferenceError:
    return GeoreferenceError(
        f"{header.uri}: expected {told}, as its STAC item says, got {found} in the file: "
        "mend the item, or name the raster itself"
    )
