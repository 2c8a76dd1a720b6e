"""VRT mosaics: the files of one delivery, side by side, as one scene."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.raster.header import SceneHeader
from geo.raster.uri import gdal_name, is_remote
from geo.types import FloatArray, Window

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
