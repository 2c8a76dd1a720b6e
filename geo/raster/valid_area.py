"""Where a scene shows ground: the outline of its valid pixels, and of what a mask file flags, such as cloud."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import rasterio.features
import rasterio.windows
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geo.aoi import AreaOfInterest, Polygons, polygons_of
from geo.georef import BaseGeoReference
from geo.grid import Level, Tile
from geo.raster.gdal_io import open_raster, read_errors
from geo.raster.header import SceneHeader, read_georeference
from geo.raster.reader import RasterReader
from geo.types import FloatArray, Window

#: Side of the cells in which areas are outlined, metres.
CELL_M = 5.0

Flags = Callable[[NDArray[Any]], NDArray[np.bool_]]


def valid_area(header: SceneHeader, area: Polygons, cell_m: float = CELL_M) -> Polygons:
    """Return the part of an area where a scene has valid pixels, in scene pixels.

    Args:
        header: the scene.
        area: in scene pixels.
        cell_m: side of the cells of the outline, metres; a cell with any valid pixel counts as valid.

    Raises:
        RasterError: the file is damaged there, or is another version.
    """
    if area.is_empty:
        return area
    level = _coarse_level(header.width, header.height, header.resolution_m, cell_m)
    window = _cells(area, level)
    with RasterReader(header.uri, header.radiometry, header.version) as reader:
        valid = reader.read_valid_mask(Tile(level, window, window))
    if valid is None:
        return area
    return polygons_of(shapely.intersection(area, _outline(valid, window, level)))


def flagged_area(uri: str, flags: Flags, area: AreaOfInterest, cell_m: float = CELL_M) -> tuple[Polygons, Polygons]:
    """Return where a mask file flags the ground, and where it says anything, in longitude and latitude.

    Args:
        uri: a georeferenced raster of one or more bands with a code for each pixel.
        flags: returns the flagged pixels, (height, width), of the file's values, (bands, height, width).
        area: the area of interest.
        cell_m: side of the cells of the outline, metres; the pixel at a cell's centre decides.

    Returns:
        The flagged part of the area, and the part of the area that the file covers.

    Raises:
        RasterError: the file cannot be read.
        GeoreferenceError: it has no georeference.
    """
    with open_raster(uri) as dataset:
        georef, resolution_m = read_georeference(dataset, uri)
        inside = area.in_pixels(georef, dataset.width, dataset.height)
        if inside.is_empty:
            return inside, inside
        level = _coarse_level(dataset.width, dataset.height, resolution_m, cell_m)
        window = _cells(inside, level)
        left, top = window.col * level.scale_x, window.row * level.scale_y
        width, height = window.width * level.scale_x, window.height * level.scale_y
        with read_errors(uri, Window(int(left), int(top), int(width), int(height))):
            values = dataset.read(
                window=rasterio.windows.Window(left, top, width, height),
                out_shape=(dataset.count, window.height, window.width),
                resampling=Resampling.nearest,
            )
    flagged = polygons_of(shapely.intersection(inside, _outline(flags(values), window, level)))
    return area_to_lonlat(flagged, georef), area_to_lonlat(inside, georef)


def area_to_lonlat(area: Polygons, georef: BaseGeoReference) -> Polygons:
    """Return an area in pixels in longitude and latitude, degrees; continuous across the antimeridian."""
    if area.is_empty:
        return area

    def convert(xy: FloatArray) -> FloatArray:
        lonlat = georef.pixel_to_lonlat(xy)
        lonlat[:, 0] = lonlat[0, 0] + (lonlat[:, 0] - lonlat[0, 0] + 180) % 360 - 180
        return lonlat

    return polygons_of(shapely.make_valid(shapely.transform(area, convert)))


def _coarse_level(width: int, height: int, resolution_m: tuple[float, float], cell_m: float) -> Level:
    """Return the raster in pixels of about `cell_m`, but never finer than its own."""
    shrink = [max(1.0, cell_m / metres) for metres in resolution_m]
    columns, rows = math.ceil(width / shrink[0]), math.ceil(height / shrink[1])
    return Level(cell_m, columns, rows, width / columns, height / rows)


def _cells(area: Polygons, level: Level) -> Window:
    """Return the window of a level around an area in pixels of its raster."""
    xmin, ymin, xmax, ymax = area.bounds
    col, row = math.floor(xmin / level.scale_x), math.floor(ymin / level.scale_y)
    right, bottom = math.ceil(xmax / level.scale_x), math.ceil(ymax / level.scale_y)
    around = Window(col, row, max(1, right - col), max(1, bottom - row))
    return around.intersection(Window(0, 0, level.width, level.height))


def _outline(mask: NDArray[np.bool_], window: Window, level: Level) -> shapely.Geometry:
    """Return the polygons of the true cells of a window, in pixels of the level's raster."""
    to_pixels = Affine.scale(level.scale_x, level.scale_y) @ Affine.translation(window.col, window.row)
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, transform=to_pixels)
    return shapely.union_all([shapely.geometry.shape(geometry) for geometry, _ in shapes])
