"""How rasters are opened: the settings of GDAL, and what it cannot open or read as errors of one line."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# GDAL's block cache in MB, for the whole process; by default it is a share of the machine's memory. An environment
# variable, because rasterio.Env would reset it at its end.
os.environ.setdefault("GDAL_CACHEMAX", "256")

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geo.errors import RasterError
from geo.raster.uri import gdal_name, gdal_options, is_address, look_up
from geo.types import Window

# A missing georeference is an error of its own here.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

# What rasterio lets through as GDAL has it, where a file is asked for what only its damaged parts tell: its CRS, which
# may be no text, or its points.
_LATE_ERRORS = (CPLE_BaseError, UnicodeDecodeError)
_GDAL_ERRORS = (RasterioError, *_LATE_ERRORS)


@contextmanager
def opened(uri: str, **options: str) -> Iterator[Any]:
    """Opens a raster; what GDAL cannot open is a RasterError, and so is what only GDAL has a name for (/vsizip/...)."""
    name = gdal_name(uri)
    if not is_address(uri) and not Path(uri).exists():
        raise RasterError(f"{uri}: expected a raster, got no such file: check the path")
    try:
        with rasterio.Env(**gdal_options(uri)):
            dataset = rasterio.open(name, **options)
    except _GDAL_ERRORS as error:
        if is_address(uri):
            look_up(uri)  # tells it better than GDAL, where the address is what is wrong
        raise _unopened(uri, error) from error
    with dataset:
        try:
            yield dataset
        except _LATE_ERRORS as error:
            raise _unopened(uri, error) from error


@contextmanager
def fitting(uri: str) -> Iterator[None]:
    """Names the file in what is said of its bands."""
    try:
        yield
    except RasterError as error:
        raise RasterError(f"{uri}: {error}") from error


@contextmanager
def reading(uri: str, window: Window) -> Iterator[None]:
    """Makes a failed read of scene pixels a RasterError."""
    try:
        yield
    except _GDAL_ERRORS as error:
        remedy = (
            "the connection failed, or the file is damaged; try again, or copy it to this machine first"
            if is_address(uri)
            else "the file is damaged or cut off; fetch or write it again"
        )
        raise RasterError(
            f"{uri}: expected pixels in columns {window.col} to {window.right}, rows {window.row} to {window.bottom}, "
            f"got a read error ({_cause(error)}): {remedy}"
        ) from error


def _unopened(uri: str, error: BaseException) -> RasterError:
    return RasterError(
        f"{uri}: expected a raster such as GeoTIFF, got a file that GDAL cannot open ({_cause(error)}): "
        "it is no raster or it is cut off; fetch or write it again"
    )


def _cause(error: BaseException) -> str:
    """Returns the first line of what GDAL said."""
    return str(error.__cause__ or error).partition("\n")[0]
