"""Checks that the parts of a raster file agree: its overviews, the tiles of a delivery, further images in it.

GDAL believes each of them. A stale overview or a wrong index would give other pixels, or another position.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.windows

from geo.errors import RasterError
from geo.raster.gdal_io import dataset_files, open_raster
from geo.raster.radiometry import Radiometry
from geo.raster.uri import is_remote
from geo.types import ImageArray

# Overviews are compared with the image in this many patches along each axis. At an address every patch is a request:
# there, the corners have to do, which the fingerprint reads anyway, and the coarsest overview, which gives the stretch.
_LOCAL_PATCHES, _LOCAL_PATCH_PX = 3, 128
_REMOTE_PATCHES, _REMOTE_PATCH_PX = 2, 64
# A patch disagrees if its mean differs by this many of the 255 display levels, and by this many standard errors: an
# overview may hold every n-th pixel only.
_MAX_LEVELS, _MAX_ERRORS = 64.0, 5.0

# Drivers that read an index and the tiles beside it.
_INDEX_DRIVERS = ("TIL", "DIMAP")


def check_single_image(dataset: Any, uri: str) -> None:
    """Check that a file holds one image.

    Raises:
        RasterError: it has several (pages of a TIFF, subdatasets), of which GDAL would read the first or none.
    """
    images = list(dataset.subdatasets)
    if len(images) > 1 or (images and not dataset.count):
        names = ", ".join(images[:3]) + (", ..." if len(images) > 3 else "")
        raise RasterError(
            f"{uri}: expected a file with one image, got {len(images)} ({names}): "
            "write the one you mean to a file of its own with gdal_translate"
        )


def check_tiles(dataset: Any, uri: str) -> None:
    """Check the index of a delivery (.TIL, DIMAP) against the tiles beside it: the ground that they cover.

    Raises:
        RasterError: they cover other ground than the index says, or another number of pixels.
    """
    if dataset.driver not in _INDEX_DRIVERS or is_remote(uri):
        return
    pixels, bounds = 0, []
    for file in dataset_files(dataset):
        if Path(file) == Path(uri) or Path(file).suffix.lower() not in (".tif", ".tiff", ".jp2", ".ntf"):
            continue
        with open_raster(file) as tile:
            pixels += tile.width * tile.height
            if not tile.transform.is_identity:
                bounds.append(tile.bounds)
    # Tiles may overlap, and the last ones be cut short, but together they fill the image.
    if pixels and not 1.0 <= pixels / (dataset.width * dataset.height) <= 1.5:
        raise RasterError(
            f"{uri}: expected an index that fits its tiles, got {dataset.width} x {dataset.height} pixels for tiles of "
            f"{pixels} pixels in all: fetch the delivery again, or build a VRT of the tiles with gdalbuildvrt"
        )
    if not bounds:
        return
    covered = (
        min(box.left for box in bounds),
        min(box.bottom for box in bounds),
        max(box.right for box in bounds),
        max(box.top for box in bounds),
    )
    tolerance = 2 * max(abs(dataset.transform.a), abs(dataset.transform.e))
    if not np.allclose(covered, tuple(dataset.bounds), rtol=0, atol=tolerance):
        raise RasterError(
            f"{uri}: expected an index that fits its tiles, got the corners {_corners(dataset.bounds)} for tiles at "
            f"{_corners(covered)}: fetch the delivery again, or build a VRT of the tiles with gdalbuildvrt"
        )


def _corners(bounds: Any) -> str:
    left, bottom, right, top = bounds
    return f"({left:.10g}, {bottom:.10g}) to ({right:.10g}, {top:.10g})"


def check_overviews(dataset: Any, uri: str, radiometry: Radiometry) -> None:
    """Check a sample of every overview against the image. Parts that cannot be read are left to their tiles.

    Raises:
        RasterError: an overview shows something else: it is black, or older than the image.
    """
    overviews = [(n, factor) for n, factor in enumerate(dataset.overviews(radiometry.bands[0])) if factor > 1]
    # In JPEG 2000 and JPEG they are part of the image's own code, and full resolution is slow to decode.
    if not overviews or dataset.driver.startswith(("JP2", "JPEG")):
        return
    count, side = (_REMOTE_PATCHES, _REMOTE_PATCH_PX) if is_remote(uri) else (_LOCAL_PATCHES, _LOCAL_PATCH_PX)
    if is_remote(uri):
        overviews = [max(overviews, key=lambda overview: overview[1])]
    windows = [
        (col, row, min(side, dataset.width), min(side, dataset.height))
        for row in _starts(dataset.height, side, count)
        for col in _starts(dataset.width, side, count)
    ]
    patches = [_read(dataset, radiometry, window, 1.0, 1.0) for window in windows]
    for number, factor in overviews:
        with open_raster(uri, overview_level=f"{number} only") as overview:
            scale_x, scale_y = overview.width / dataset.width, overview.height / dataset.height
            for window, patch in zip(windows, patches, strict=True):
                reduced = _read(overview, radiometry, window, scale_x, scale_y)
                if patch is None or reduced is None or not patch.size or not reduced.size:
                    continue
                error = _MAX_ERRORS * float(patch.std()) / math.sqrt(reduced.shape[1])
                if abs(float(patch.mean()) - float(reduced.mean())) > max(_MAX_LEVELS, error):
                    raise RasterError(
                        f"{uri}: expected overviews of the image, got one (1 : {factor}) that shows something else at "
                        f"column {window[0]}, row {window[1]}: remove it with gdaladdo -clean, and build it anew"
                    )


def _starts(length: int, side: int, count: int) -> list[int]:
    """Return where patches of this side start along one axis."""
    return sorted({int(start) for start in np.linspace(0, max(0, length - side), count)})


def _read(
    dataset: Any, radiometry: Radiometry, window: tuple[int, int, int, int], scale_x: float, scale_y: float
) -> ImageArray | None:
    """Return the valid pixels of a scene window in a dataset or its overview, in display levels, (bands, N).

    None if they cannot be read.
    """
    col, row, width, height = window
    part = rasterio.windows.Window(
        math.floor(col * scale_x),
        math.floor(row * scale_y),
        max(1, round(width * scale_x)),
        max(1, round(height * scale_y)),
    )
    bands = list(radiometry.bands)
    try:
        pixels = dataset.read(bands, window=part)
        valid = dataset.read_masks(bands, window=part).any(axis=0)
    except OSError:  # rasterio's read errors are OSErrors
        return None
    if radiometry.fill is not None:
        valid &= ~radiometry.fill.covers(pixels)
    shown = pixels if radiometry.stretch is None else radiometry.stretch.apply(pixels)
    return np.asarray(shown[:, valid], dtype=np.uint8)
