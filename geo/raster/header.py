"""Scene headers: size, bands, georeference, radiometry, fingerprint; read before any tile."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError
from rasterio.enums import Interleaving

from geo.errors import GeoreferenceError, RasterError
from geo.gcp import GcpGeoReference
from geo.georef import BaseGeoReference, GeoReference
from geo.raster.acquisition_time import time_in_tags
from geo.raster.gdal_io import dataset_files, naming_file, open_raster, read_errors
from geo.raster.integrity import check_overviews, check_single_image, check_tiles
from geo.raster.radiometry import Radiometry, read_radiometry, select_bands
from geo.raster.uri import RemoteFile, file_version, is_remote, retry_delays_s, stat_remote
from geo.rpc import Coefficients, RpcGeoReference
from geo.types import Window

# The fingerprint samples this many patches along each axis, the corners included. If the server reports a version, the
# corners suffice: they reveal a truncated file.
_PATCHES, _CORNERS, _PATCH_PX = 5, 2, 64
# A local GeoTIFF of up to so many pixels is read as a whole for it.
_SMALL_PX = 512 * 512
# Of a scene by someone who is not trusted: GDAL decompresses a block as a whole.
_MAX_BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class SceneHeader:
    """Metadata of a scene.

    Args:
        uri: a local path or an address.
        width: columns.
        height: rows.
        bands: number of bands in the file.
        dtype: NumPy name of the pixel type.
        georef: the georeference; None for a plain image whose resolution was given.
        resolution_m: metres on the ground per pixel at the centre, along columns and along rows.
        scene_id: 16 hexadecimal digits: a fingerprint of size, header and a fixed sample of pixels; for a remote
            file also of the version that its server reports.
        radiometry: conversion of its values to 8-bit RGB, the same for every tile.
        acquired_at: acquisition time from its tags, RFC 3339 UTC; None if they have none.
        version: changes if the file is rewritten, see `file_version`; None if unknown.
    """

    uri: str
    width: int
    height: int
    bands: int
    dtype: str
    georef: BaseGeoReference | None
    resolution_m: tuple[float, float]
    scene_id: str
    radiometry: Radiometry
    acquired_at: str | None = None
    version: str | None = None


def read_header(
    uri: str,
    resolution_m: float | None = None,
    bands: tuple[int, ...] | None = None,
    height_m: float | None = None,
    nodata: float | None = None,
) -> SceneHeader:
    """Read a scene's header; also detects most damaged files before any work starts.

    Args:
        uri: a raster file, or its address (https://, http:// or gs://), of which only parts are transferred.
        resolution_m: for a plain image, metres on the ground per pixel; its georeference is then ignored.
        bands: the red, green and blue bands, or a grey one, 1-based; None to choose by colour interpretation.
        height_m: for a raster with RPCs, the height of the ground, metres above the WGS84 ellipsoid.
        nodata: the nodata value that its STAC item states; None if it states none.

    Raises:
        RasterError: the file is missing, not a raster, truncated or not served, its bands do not fit, or its parts
            contradict each other.
        GeoreferenceError: it has no valid georeference.
    """
    remote = stat_remote(uri) if is_remote(uri) else None
    try:
        return _read_header(uri, remote, resolution_m, bands, height_m, nodata)
    except RasterError:
        if remote is None:
            raise
    # The server has the file: perhaps the connection broke, which GDAL does not mend.
    time.sleep(next(retry_delays_s(uri)))
    return _read_header(uri, remote, resolution_m, bands, height_m, nodata)


def _read_header(
    uri: str,
    remote: RemoteFile | None,
    resolution_m: float | None,
    bands: tuple[int, ...] | None,
    height_m: float | None,
    nodata: float | None,
) -> SceneHeader:
    """See `read_header`."""
    with open_raster(uri) as dataset:
        # Taken first: a file that is replaced while it is read must not get the version of its replacement.
        version = file_version(remote or dataset_files(dataset))
        check_single_image(dataset, uri)
        check_tiles(dataset, uri)
        with naming_file(uri):
            bands = select_bands(dataset, bands)
        if resolution_m is None:
            georef, metres = read_georeference(dataset, uri, height_m)
        else:
            georef, metres = None, (resolution_m, resolution_m)
        scene_id = _fingerprint(dataset, uri, remote)
        with naming_file(uri):
            # Ignores unreadable pixels, which the fingerprint has reported.
            radiometry = read_radiometry(dataset, bands, nodata)
        check_overviews(dataset, uri, radiometry)
        return SceneHeader(
            uri=uri,
            width=dataset.width,
            height=dataset.height,
            bands=dataset.count,
            dtype=dataset.dtypes[bands[0] - 1],
            georef=georef,
            resolution_m=metres,
            scene_id=scene_id,
            radiometry=radiometry,
            acquired_at=time_in_tags(dataset),
            version=version,
        )


def read_size(uri: str) -> tuple[int, int]:
    """Return columns and rows of an image, georeferenced or not; reads no pixels.

    Raises:
        RasterError: the file is missing or not a raster, or its bands do not fit.
    """
    with open_raster(uri) as dataset:
        with naming_file(uri):
            select_bands(dataset, None)
        return dataset.width, dataset.height


def check_size(uri: str, max_px: float) -> None:
    """Refuse a raster that takes too much memory or time, before any of its pixels is decompressed.

    Args:
        uri: a raster of someone who is not trusted.
        max_px: pixels that it may have.

    Raises:
        RasterError: it is too large, or it is packed in blocks that are; or it is no raster.
    """
    with open_raster(uri) as dataset:
        pixels = dataset.width * dataset.height
        if pixels > max_px:
            raise RasterError(
                f"{uri}: expected at most {max_px / 1e6:g} Mpx, got {pixels / 1e6:.0f}: cut it into several scenes"
            )
        samples = dataset.count if dataset.interleaving == Interleaving.pixel else 1
        rows, columns = max(dataset.block_shapes, key=lambda shape: shape[0] * shape[1])
        size = rows * columns * samples * max(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
        if size > _MAX_BLOCK_BYTES:
            raise RasterError(
                f"{uri}: expected blocks of at most {_MAX_BLOCK_BYTES / 2**20:g} MiB, got {size / 2**20:.0f}: "
                "write it as a COG, e.g. with gdal_translate -of COG"
            )


def read_georeference(
    dataset: Any, uri: str, height_m: float | None = None
) -> tuple[BaseGeoReference, tuple[float, float]]:
    """Return the georeference of an open raster, and its ground resolution at the centre.

    An affine transform takes precedence, as in GDAL; then RPCs, if a height is given; then ground control points, which
    are often no more than the corners.

    Args:
        dataset: the raster.
        uri: its URI, for messages.
        height_m: height of the ground, metres above the WGS84 ellipsoid, for a raster with RPCs.

    Returns:
        The georeference, and metres per pixel along columns and along rows.

    Raises:
        GeoreferenceError: it has no georeference, or an invalid one.
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


def _georeference(dataset: Any, uri: str, height_m: float | None) -> BaseGeoReference:
    gcps, gcp_crs = dataset.gcps
    wkt = _crs_wkt(dataset, uri)
    if not dataset.transform.is_identity:
        return GeoReference(dataset.transform, _parse_crs(wkt, "an affine transform"))
    if dataset.rpcs and height_m is not None:
        return RpcGeoReference(_rpc_coefficients(dataset.rpcs), height_m)
    if gcps:
        gcp_wkt = str(gcp_crs.to_wkt()) if gcp_crs else None
        return GcpGeoReference(_gcp_points(gcps), _parse_crs(gcp_wkt, f"{len(gcps)} ground control points"))
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


def _crs_wkt(dataset: Any, uri: str) -> str | None:
    """Return the CRS of an open raster as WKT, from the file or from a .prj file beside it, which GDAL ignores."""
    if dataset.crs is not None:
        return str(dataset.crs.to_wkt())
    if is_remote(uri):
        return None
    for suffix in (".prj", ".PRJ"):
        sidecar = Path(uri).with_suffix(suffix)
        if sidecar.is_file():
            return sidecar.read_text(encoding="utf-8", errors="replace")
    return None


def _parse_crs(wkt: str | None, beside: str) -> CRS:
    if not wkt:
        raise GeoreferenceError(
            f"expected a georeference (an affine transform or ground control points, and a CRS), got no CRS beside "
            f"{beside}: add it, e.g. with gdal_edit.py -a_srs EPSG:32632"
        )
    return CRS.from_wkt(wkt)


def _gcp_points(gcps: Any) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(gcp.col), float(gcp.row), float(gcp.x), float(gcp.y)) for gcp in gcps)


def _rpc_coefficients(rpcs: Any) -> Coefficients:
    return tuple(sorted(rpcs.to_gdal().items()))


def _fingerprint(dataset: Any, uri: str, remote: RemoteFile | None) -> str:
    """Return 16 hexadecimal digits; reading the sample also detects most truncated files."""
    size = remote.size if remote else Path(uri).stat().st_size
    digest = hashlib.sha256(repr((size, dataset.shape, dataset.count, dataset.dtypes)).encode())
    digest.update(repr((tuple(dataset.transform), _crs_wkt(dataset, uri))).encode())
    digest.update(_gcp_rpc_text(dataset).encode())
    if remote and remote.version:
        digest.update(remote.version.encode())
    count = _CORNERS if remote and remote.version else _PATCHES
    columns, rows = (_patch_starts(length, count) for length in (dataset.width, dataset.height))
    small_scene = None if remote else _read_small(dataset)
    for row in rows:
        for col in columns:
            window = Window(col, row, min(_PATCH_PX, dataset.width), min(_PATCH_PX, dataset.height))
            if small_scene is not None:
                pixels = small_scene[:, window.row : window.bottom, window.col : window.right]
            else:
                with read_errors(uri, window):
                    pixels = dataset.read(
                        window=rasterio.windows.Window(window.col, window.row, window.width, window.height)
                    )
            digest.update(pixels.tobytes())
    return digest.hexdigest()[:16]


def _read_small(dataset: Any) -> NDArray[Any] | None:
    """Return all pixels of a small GeoTIFF, since many small reads take longer; None if it is larger, or damaged.

    Of other formats some do not fail again where they failed once: a VRT forgets a source that is missing.
    """
    if dataset.driver != "GTiff" or dataset.width * dataset.height > _SMALL_PX:
        return None
    try:
        return np.asarray(dataset.read())
    except OSError:
        return None  # the patch that cannot be read is named


def _gcp_rpc_text(dataset: Any) -> str:
    """Return ground control points and RPCs of an open raster as text for its fingerprint; "" if it has neither."""
    gcps, crs = dataset.gcps
    points = (_gcp_points(gcps), crs and crs.to_wkt()) if gcps else ()
    rpcs = _rpc_coefficients(dataset.rpcs) if dataset.rpcs else ()
    return repr((points, rpcs)) if points or rpcs else ""


def _patch_starts(length: int, count: int) -> list[int]:
    """Return where the fingerprint's patches start along one axis."""
    return [int(start) for start in np.linspace(0, max(0, length - _PATCH_PX), count)]
