"""Files of one delivery that lie side by side, as one scene: a VRT of them; pure."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.raster.header import SceneHeader
from geo.raster.uri import gdal_name, is_remote
from geo.types import FloatArray, Window

# Whoever cuts a delivery into files rounds their corners; by more than this, pixels, they are not of one grid.
_OFF_PX = 0.05
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
    """Returns the text of a VRT that shows files as one scene, without resampling.

    It has their bands. Where files overlap the last shows, save where it is missing. What no file shows is missing.

    Args:
        headers: Of one file or more.

    Raises:
        RasterError: They do not lie on one grid of pixels, or their values are of different kinds.
    """
    first = headers[0]
    windows = [_window_in(first, header) for header in headers]
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right, bottom = max(window.right for window in windows), max(window.bottom for window in windows)
    root = Xml.Element("VRTDataset", rasterXSize=str(right - left), rasterYSize=str(bottom - top))
    georef = _affine_of(first)
    Xml.SubElement(root, "SRS").text = georef.crs.to_wkt()
    a, b, c, d, e, f = tuple(georef.affine @ georef.affine.translation(left, top))[:6]
    Xml.SubElement(root, "GeoTransform").text = ", ".join(repr(number) for number in (c, a, b, f, d, e))
    placed = [
        (header, Window(window.col - left, window.row - top, window.width, window.height))
        for header, window in zip(headers, windows, strict=True)
    ]
    for number in range(1, first.bands + 1):
        band = Xml.SubElement(root, "VRTRasterBand", dataType=_TYPES[first.dtype], band=str(number))
        for header, window in placed:
            Xml.SubElement(_source(band, header, str(number), window), "UseMaskBand").text = "true"
    mask = Xml.SubElement(Xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    for header, window in placed:
        Xml.SubElement(_source(mask, header, f"mask,{header.radiometry.bands[0]}", window), "NODATA").text = "0"
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _source(band: Xml.Element, header: SceneHeader, number: str, window: Window) -> Xml.Element:
    source = Xml.SubElement(band, "ComplexSource")
    name = gdal_name(header.uri) if is_remote(header.uri) else str(Path(header.uri).absolute())
    Xml.SubElement(source, "SourceFilename", relativeToVRT="0").text = name
    Xml.SubElement(source, "SourceBand").text = number
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    Xml.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    Xml.SubElement(source, "DstRect", {"xOff": str(window.col), "yOff": str(window.row), **size})
    return source


def _window_in(first: SceneHeader, other: SceneHeader) -> Window:
    """Returns where a file lies in the pixels of the first."""
    georef, here = _affine_of(other), _affine_of(first)
    if georef.crs != here.crs:
        raise _apart(first, other, f"the CRS {here.crs.name!r}", repr(georef.crs.name), "gdalwarp to one CRS")
    expected, got = (
        f"{header.bands} bands of {header.dtype}, colours in {list(header.radiometry.bands)}"
        for header in (first, other)
    )
    if expected != got:
        raise _apart(first, other, expected, got, "gdal_translate to one kind")
    corners: FloatArray = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * [other.width, other.height]
    seen = np.array([~here.affine @ (georef.affine @ (x, y)) for x, y in corners.tolist()])
    col, row = (round(value) for value in seen[0].tolist())
    off = float(np.abs(seen - corners - np.array([col, row])).max())
    if off > _OFF_PX:
        raise _apart(first, other, "one grid of pixels", f"a grid that is {off:.2f} px off", "gdalwarp to one grid")
    return Window(col, row, other.width, other.height)


def _affine_of(header: SceneHeader) -> GeoReference:
    if not isinstance(header.georef, GeoReference):
        raise RasterError(
            f"{header.uri}: expected files with affine georeferences for a mosaic, got another: "
            "give it one first, e.g. with gdalwarp"
        )
    return header.georef


def _apart(first: SceneHeader, other: SceneHeader, expected: str, got: str, remedy: str) -> RasterError:
    return RasterError(
        f"{other.uri}: expected {expected} as in {first.uri}, for one mosaic, got {got}: "
        f"bring them together first, e.g. with {remedy}, or leave out --mosaic"
    )
