"""Where an open raster says that it lies."""

from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo.address import is_address
from geo.errors import GeoreferenceError
from geo.georef import GeoReference


def located(dataset: Any, uri: str) -> tuple[GeoReference, tuple[float, float]]:
    """Returns the georeference of an open raster, and metres on the ground per pixel at its centre: columns, rows.

    Raises:
        GeoreferenceError: It does not say, or not soundly, where on the Earth it lies.
    """
    wkt = crs_wkt(dataset, uri)
    if wkt is None or dataset.transform.is_identity:
        missing = "no CRS" if wkt is None else "no transform"
        raise GeoreferenceError(
            f"{uri}: expected a georeference (an affine transform and a CRS), got {missing}: add it, e.g. with "
            "gdal_edit.py -a_srs EPSG:32632 -a_ullr ...; a scene with ground control points needs gdalwarp"
        )
    width, height = dataset.width, dataset.height
    try:
        georef = GeoReference(dataset.transform, CRS.from_wkt(wkt))
        georef.pixel_to_lonlat(np.array([[0.0, 0.0], [width, 0], [width, height], [0, height]]))
        return georef, georef.ground_resolution_m(width / 2, height / 2)
    except CRSError as error:
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
