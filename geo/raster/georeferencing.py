"""Where an open raster says that it lies."""

from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS
from pyproj.exceptions import ProjError

from geo.errors import GeoreferenceError
from geo.gcp import ControlPointGeoReference
from geo.georef import BaseGeoReference, GeoReference
from geo.raster.uri import is_address
from geo.rpc import Coefficients, RationalGeoReference


def located(dataset: Any, uri: str, height_m: float | None = None) -> tuple[BaseGeoReference, tuple[float, float]]:
    """Returns the georeference of an open raster, and metres on the ground per pixel at its centre: columns, rows.

    An affine goes before all else, as in GDAL; then RPCs, where a height is told; then ground control points, which are
    often but the corners.

    Args:
        dataset: The raster.
        uri: Its name, for messages.
        height_m: Height of the ground, metres above the WGS84 ellipsoid, for a raster with RPCs.

    Raises:
        GeoreferenceError: It does not say, or not soundly, where on the Earth it lies.
    """
    width, height = dataset.width, dataset.height
    try:
        georef = _georeference(dataset, uri, height_m)
        georef.pixel_to_lonlat(np.array([[0.0, 0.0], [width, 0], [width, height], [0, height]]))
        return georef, georef.ground_resolution_m(width / 2, height / 2)
    except ProjError as error:
        raise GeoreferenceError(
            f"{uri}: expected a CRS that PROJ knows, got {str(error).splitlines()[0]}: "
            "write the right one, e.g. with gdal_edit.py -a_srs EPSG:32632"
        ) from error
    except GeoreferenceError as error:
        raise GeoreferenceError(f"{uri}: {error}") from error


def crs_wkt(dataset: Any, uri: str) -> str | None:
    """Returns the CRS of an open raster as WKT, if it says one, or its .prj file does: GDAL looks at none of these."""
    if dataset.crs is not None:
        return str(dataset.crs.to_wkt())
    if is_address(uri):
        return None
    for suffix in (".prj", ".PRJ"):
        beside = Path(uri).with_suffix(suffix)
        if beside.is_file():
            return beside.read_text(encoding="utf-8", errors="replace")
    return None


def placement(dataset: Any) -> str:
    """Returns all that an open raster says of its place beside affine and CRS, for a fingerprint; "" for nothing."""
    points, crs = dataset.gcps
    told = (_points(points), crs and crs.to_wkt()) if points else ()
    rpcs = _coefficients(dataset.rpcs) if dataset.rpcs else ()
    return repr((told, rpcs)) if told or rpcs else ""


def _georeference(dataset: Any, uri: str, height_m: float | None) -> BaseGeoReference:
    points, crs_of_points = dataset.gcps
    wkt = crs_wkt(dataset, uri)
    if not dataset.transform.is_identity:
        return GeoReference(dataset.transform, _crs(wkt, "an affine"))
    if dataset.rpcs and height_m is not None:
        return RationalGeoReference(_coefficients(dataset.rpcs), height_m)
    if points:
        of_points = str(crs_of_points.to_wkt()) if crs_of_points else None
        return ControlPointGeoReference(_points(points), _crs(of_points, f"{len(points)} ground control points"))
    if dataset.rpcs:
        raise GeoreferenceError(
            "expected the height of the ground beside RPCs, got none: set rpc_height_m in the config, metres above the "
            "WGS84 ellipsoid, or warp the scene with gdalwarp -rpc"
        )
    missing = "no CRS" if wkt is None else "no transform"
    raise GeoreferenceError(
        f"expected a georeference (an affine transform or ground control points, and a CRS), got {missing}: add it, "
        "e.g. with gdal_edit.py -a_srs EPSG:32632 -a_ullr ..."
    )


def _points(points: Any) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(point.col), float(point.row), float(point.x), float(point.y)) for point in points)


def _coefficients(rpcs: Any) -> Coefficients:
    return tuple(sorted(rpcs.to_gdal().items()))


def _crs(wkt: str | None, beside: str) -> CRS:
    if not wkt:
        raise GeoreferenceError(
            f"expected a georeference (an affine transform or ground control points, and a CRS), got no CRS beside "
            f"{beside}: add it, e.g. with gdal_edit.py -a_srs EPSG:32632"
        )
    return CRS.from_wkt(wkt)
