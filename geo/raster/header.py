"""What is known of a scene before it is looked at."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.windows

from geo.georef import BaseGeoReference
from geo.raster.acquisition_time import time_in_tags
from geo.raster.gdal_io import fitting, opened, reading
from geo.raster.georeferencing import crs_wkt, located, placement
from geo.raster.radiometry import Rendition, bands_of, rendition_of
from geo.raster.uri import RemoteFile, is_address, look_up
from geo.raster.version import files_of, version_of
from geo.types import Window

# The fingerprint looks at this many patches along each axis, the corners among them; where a server says which version
# of a file it has, the corners are enough to find one that is cut off.
_PATCHES, _CORNERS, _PATCH_PX = 5, 2, 64


@dataclass(frozen=True, slots=True)
class SceneHeader:
    """What is known of a scene before it is looked at.

    Args:
        uri: The file, or its address.
        width: Columns.
        height: Rows.
        bands: Bands of the file.
        dtype: NumPy's name of the pixel type.
        georef: Where it lies; None for a plain image whose resolution was given.
        resolution_m: Metres on the ground per pixel at the centre, along columns and along rows.
        scene_id: 16 hexadecimal digits, the fingerprint of size, header and a fixed sample of pixels; of a file at an
            address, of the version too that its server names.
        rendition: How its values become red, green and blue of 8 bits, the same for every tile.
        acquired_at: When its tags say that it was taken, RFC 3339 UTC; None where they do not.
        version: Another one where the file was written again; None where nobody looked.
    """

    uri: str
    width: int
    height: int
    bands: int
    dtype: str
    georef: BaseGeoReference | None
    resolution_m: tuple[float, float]
    scene_id: str
    rendition: Rendition
    acquired_at: str | None = None
    version: str | None = None


def read_header(
    uri: str,
    resolution_m: float | None = None,
    bands: tuple[int, ...] | None = None,
    height_m: float | None = None,
) -> SceneHeader:
    """Reads what the plan of a scene needs, and finds most damage before any work starts.

    Args:
        uri: A raster file, or its address: https://, http:// or gs://, of which only parts are read.
        resolution_m: For a plain image, metres on the ground per pixel; a georeference is then not looked for.
        bands: Which bands are red, green and blue, or which one is grey, counted from 1; None to go by what the file
            calls them, else to take the first.
        height_m: For a raster with RPCs, the height of the ground, metres above the WGS84 ellipsoid.

    Raises:
        RasterError: The file is missing, no raster, cut off, or its bands do not fit; or its server does not give it.
        GeoreferenceError: It does not say, or not soundly, where on the Earth it lies.
    """
    remote = look_up(uri) if is_address(uri) else None
    with opened(uri) as dataset:
        version = version_of(remote or files_of(dataset))  # first, lest it be that of a file that came in between
        with fitting(uri):
            bands = bands_of(dataset, bands)
        if resolution_m is None:
            georef, metres = located(dataset, uri, height_m)
        else:
            georef, metres = None, (resolution_m, resolution_m)
        scene_id = _fingerprint(dataset, uri, remote)
        rendition = rendition_of(dataset, bands)  # passes over what cannot be read, so it comes after the fingerprint
        return SceneHeader(
            uri=uri,
            width=dataset.width,
            height=dataset.height,
            bands=dataset.count,
            dtype=dataset.dtypes[bands[0] - 1],
            georef=georef,
            resolution_m=metres,
            scene_id=scene_id,
            rendition=rendition,
            acquired_at=time_in_tags(dataset),
            version=version,
        )


def read_size(uri: str) -> tuple[int, int]:
    """Returns columns and rows of a picture, georeferenced or not; looks at its header alone.

    Raises:
        RasterError: The file is missing, no raster, or its bands do not fit.
    """
    with opened(uri) as dataset:
        with fitting(uri):
            bands_of(dataset, None)
        return dataset.width, dataset.height


def _fingerprint(dataset: Any, uri: str, remote: RemoteFile | None) -> str:
    """Returns 16 hexadecimal digits; reading the sample also finds most files that are cut off."""
    size = remote.size if remote else Path(uri).stat().st_size
    digest = hashlib.sha256(repr((size, dataset.shape, dataset.count, dataset.dtypes)).encode())
    digest.update(repr((tuple(dataset.transform), crs_wkt(dataset, uri))).encode())
    digest.update(placement(dataset).encode())
    if remote and remote.version:
        digest.update(remote.version.encode())
    count = _CORNERS if remote and remote.version else _PATCHES
    columns, rows = (_patches(length, count) for length in (dataset.width, dataset.height))
    for row in rows:
        for col in columns:
            window = Window(col, row, min(_PATCH_PX, dataset.width), min(_PATCH_PX, dataset.height))
            with reading(uri, window):
                pixels = dataset.read(
                    window=rasterio.windows.Window(window.col, window.row, window.width, window.height)
                )
            digest.update(pixels.tobytes())
    return digest.hexdigest()[:16]


def _patches(length: int, count: int) -> list[int]:
    """Returns where the fingerprint's patches start along one axis."""
    return [int(start) for start in np.linspace(0, max(0, length - _PATCH_PX), count)]
