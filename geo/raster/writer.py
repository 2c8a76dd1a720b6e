"""Writing of scenes: pixels as GeoTIFF, and the files of one delivery as a VRT mosaic."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.raster.header import SceneHeader
from geo.raster.uri import gdal_name, is_remote
from geo.types import FloatArray, ImageArray, Window

_BLOCK_PX = 512
# Tolerance, pixels, for corners that were rounded when a delivery was cut into files.
_MAX_OFFSET_PX = 0.05

_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}


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


def mosaic_vrt(headers: Sequence[SceneHeader]) -> str:
    """Return a VRT, as XML text, that mosaics files without resampling.

    It has the bands of the files. Where files overlap, the last one with valid pixels is on top. Gaps are nodata.

    Args:
        headers: headers of one file or more.

    Raises:
        RasterError: the files do not share one pixel grid, or differ in bands or pixel type.
    """
    first = headers[0]
    windows = [_window_in(first, header) for header in headers]
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right, bottom = max(window.right for window in windows), max(window.bottom for window in windows)
    root = Xml.Element("VRTDataset", rasterXSize=str(right - left), rasterYSize=str(bottom - top))
    georef = _affine_georef(first)
    Xml.SubElement(root, "SRS").text = georef.crs.to_wkt()
    a, b, c, d, e, f = tuple(georef.affine @ georef.affine.translation(left, top))[:6]
    Xml.SubElement(root, "GeoTransform").text = ", ".join(repr(number) for number in (c, a, b, f, d, e))
    sources = [
        (header, Window(window.col - left, window.row - top, window.width, window.height))
        for header, window in zip(headers, windows, strict=True)
    ]
    for number in range(1, first.bands + 1):
        band = Xml.SubElement(root, "VRTRasterBand", dataType=_TYPES[first.dtype], band=str(number))
        for header, window in sources:
            Xml.SubElement(_add_source(band, header, str(number), window), "UseMaskBand").text = "true"
    mask = Xml.SubElement(Xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    for header, window in sources:
        Xml.SubElement(_add_source(mask, header, f"mask,{header.radiometry.bands[0]}", window), "NODATA").text = "0"
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _add_source(band: Xml.Element, header: SceneHeader, source_band: str, window: Window) -> Xml.Element:
    source = Xml.SubElement(band, "ComplexSource")
    name = gdal_name(header.uri) if is_remote(header.uri) else str(Path(header.uri).absolute())
    Xml.SubElement(source, "SourceFilename", relativeToVRT="0").text = name
    Xml.SubElement(source, "SourceBand").text = source_band
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    Xml.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    Xml.SubElement(source, "DstRect", {"xOff": str(window.col), "yOff": str(window.row), **size})
    return source


def _window_in(first: SceneHeader, other: SceneHeader) -> Window:
    """Return the window of a file in the pixels of the first."""
    georef, reference = _affine_georef(other), _affine_georef(first)
    if georef.crs != reference.crs:
        raise _mismatch(first, other, f"the CRS {reference.crs.name!r}", repr(georef.crs.name), "gdalwarp to one CRS")
    expected, got = (
        f"{header.bands} bands of {header.dtype}, colours in {list(header.radiometry.bands)}"
        for header in (first, other)
    )
    if expected != got:
        raise _mismatch(first, other, expected, got, "gdal_translate to one kind")
    corners: FloatArray = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * [other.width, other.height]
    positions = np.array([~reference.affine @ (georef.affine @ (x, y)) for x, y in corners.tolist()])
    col, row = (round(value) for value in positions[0].tolist())
    offset = float(np.abs(positions - corners - np.array([col, row])).max())
    if offset > _MAX_OFFSET_PX:
        got = f"a grid that is {offset:.2f} px off"
        raise _mismatch(first, other, "one grid of pixels", got, "gdalwarp to one grid")
    return Window(col, row, other.width, other.height)


def _affine_georef(header: SceneHeader) -> GeoReference:
    if not isinstance(header.georef, GeoReference):
        raise RasterError(
            f"{header.uri}: expected files with affine georeferences for a mosaic, got another: "
            "give it one first, e.g. with gdalwarp"
        )
    return header.georef


def _mismatch(first: SceneHeader, other: SceneHeader, expected: str, got: str, remedy: str) -> RasterError:
    return RasterError(
        f"{other.uri}: expected {expected} as in {first.uri}, for one mosaic, got {got}: "
        f"convert them first, e.g. with {remedy}, or leave out --mosaic"
    )
