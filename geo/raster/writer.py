"""Writing of scenes as GeoTIFF."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.types import ImageArray, Window

_BLOCK_PX = 512


def write_scene(
    path: Path, width: int, height: int, georef: GeoReference, blocks: Iterable[tuple[Window, ImageArray]]
) -> None:
    """Write a scene, atomically, as a tiled GeoTIFF (deflate, blocks of 512 px) with averaged overviews.

    Args:
        path: the output file.
        width: columns.
        height: rows.
        georef: its georeference.
        blocks: windows with their pixels, uint8 (height, width, 3), which together cover the scene. Windows aligned to
            512 px are compressed only once.

    Raises:
        RasterError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write_blocks(partial, width, height, georef, blocks)
        factors = [2**n for n in range(1, 32) if max(width, height) > _BLOCK_PX * 2 ** (n - 1)]
        with rasterio.open(partial, "r+") as dataset:
            dataset.build_overviews(factors, Resampling.average)
        _check_blocks(partial)
        partial.replace(path)
    except (RasterioError, OSError) as error:
        cause = error.__cause__ or error
        raise RasterError(
            f"{path}: expected a writable path for a GeoTIFF, got {cause}: choose another path, or free disk space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_blocks(
    path: Path, width: int, height: int, georef: GeoReference, blocks: Iterable[tuple[Window, ImageArray]]
) -> None:
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    layout = {"tiled": True, "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX, "interleave": "pixel"}
    packing = {"compress": "deflate", "predictor": 2, "bigtiff": "IF_SAFER"}
    crs = rasterio.crs.CRS.from_wkt(georef.crs.to_wkt())
    with rasterio.open(path, "w", **profile, **layout, **packing, crs=crs, transform=georef.affine) as dataset:
        for window, pixels in blocks:
            target = rasterio.windows.Window(window.col, window.row, window.width, window.height)
            dataset.write(np.moveaxis(pixels, -1, 0), window=target)


def _check_blocks(path: Path) -> None:
    """Raise OSError if a block is missing from the file: GDAL does not report a disk that is full when it closes it."""
    length = path.stat().st_size
    with rasterio.open(path) as dataset:
        for overview in (None, *range(len(dataset.overviews(1)))):
            with rasterio.open(path, overview_level="NONE" if overview is None else str(overview)) as level:
                blocks = [f"{col}_{row}" for (row, col), _ in level.block_windows(1)]
            for block in blocks:
                start = dataset.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", 1, overview)
                size = dataset.get_tag_item(f"BLOCK_SIZE_{block}", "TIFF", 1, overview)
                if start is None or int(start) + int(size) > length:
                    raise OSError("a truncated file")
