"""Opening of rasters: GDAL settings, and GDAL's errors as one-line RasterErrors."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

# GDAL's block cache in MB, for the whole process; the default is a share of the machine's memory. An environment
# variable, because rasterio.Env would reset it on exit.
os.environ.setdefault("GDAL_CACHEMAX", "256")

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, NodataShadowWarning, NotGeoreferencedWarning, RasterioError

from geo.errors import RasterError
from geo.raster.uri import gdal_name, gdal_options, is_remote, stat_remote, suffix
from geo.types import Window

# `read_georeference` raises an error instead.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# Handled, see `shadowed_alpha`.
warnings.filterwarnings("ignore", category=NodataShadowWarning)

# GDAL quotes the bytes of damaged files, and rasterio's log of its messages fails where they are not UTF-8. Nothing can
# catch that, so Python prints it in two ways. The error itself is raised all the same.
_unraisablehook, _excepthook = sys.unraisablehook, sys.excepthook


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    if unraisable.object != "rasterio._env.log_error":
        _unraisablehook(unraisable)


def _report_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if trace is not None or not isinstance(error, UnicodeDecodeError):
        _excepthook(kind, error, trace)


sys.unraisablehook, sys.excepthook = _report_unraisable, _report_uncaught

# Raised by rasterio when a damaged part of an open file is accessed: a CRS that is not text, broken GCPs.
_LATE_ERRORS = (CPLE_BaseError, CRSError, UnicodeDecodeError)
_GDAL_ERRORS = (RasterioError, *_LATE_ERRORS)

# Sidecar files with statistics, which viewers write whenever a scene is displayed.
_SIDECAR = ".aux.xml"

# Healthy files of these formats need drivers that GDAL's wheels lack.
_UNSUPPORTED = (".sid", ".ecw", ".jxl")


@contextmanager
def open_raster(uri: str, **options: str) -> Iterator[Any]:
    """Open a raster as a rasterio dataset.

    Raises:
        RasterError: GDAL cannot open it, or the URI is neither a local file nor an address (such as /vsizip/...).
    """
    name = gdal_name(uri)
    if not is_remote(uri) and not Path(uri).exists():
        raise RasterError(f"{uri}: expected a raster, got no such file: check the path")
    try:
        with rasterio.Env(**gdal_options(uri)):
            dataset = rasterio.open(name, **options)
    except _GDAL_ERRORS as error:
        if is_remote(uri):
            stat_remote(uri)  # raises a better message if the address is the problem
        raise _open_error(uri, error) from error
    with dataset:
        try:
            yield dataset
        except _LATE_ERRORS as error:
            raise _open_error(uri, error) from error


@contextmanager
def naming_file(uri: str) -> Iterator[None]:
    """Prefix RasterErrors with the file's URI."""
    try:
        yield
    except RasterError as error:
        raise RasterError(f"{uri}: {error}") from error


@contextmanager
def read_errors(uri: str, window: Window) -> Iterator[None]:
    """Turn a failed read of pixels into a RasterError that names the file and the window, in scene pixels."""
    try:
        yield
    except _GDAL_ERRORS as error:
        remedy = (
            "the connection failed, or the file is damaged; try again, or copy it to this machine first"
            if is_remote(uri)
            else "the file is damaged or cut off; fetch or write it again"
        )
        raise RasterError(
            f"{uri}: expected pixels in columns {window.col} to {window.right}, rows {window.row} to {window.bottom}, "
            f"got a read error ({_cause(error)}): {remedy}"
        ) from error


def dataset_files(dataset: Any) -> list[str]:
    """Return the files of an open raster: itself, external overviews and masks, the parts of a VRT."""
    return [file for file in dataset.files if not file.endswith(_SIDECAR)]


@contextmanager
def open_parts(files: Iterable[str]) -> Iterator[list[Any]]:
    """Open files by GDAL's names, as `dataset_files` gives them; those that cannot be opened are left out."""
    with ExitStack() as stack:
        parts = []
        for file in files:
            with suppress(*_GDAL_ERRORS):
                parts.append(stack.enter_context(rasterio.open(file)))
        yield parts


def shadowed_alpha(dataset: Any) -> int | None:
    """Return the alpha band that GDAL's masks leave out because the file has a nodata value too; None if none."""
    if all(value is None for value in dataset.nodatavals):
        return None
    alphas = [band for band, colour in enumerate(dataset.colorinterp, start=1) if colour.name == "alpha"]
    return alphas[0] if alphas else None


def _open_error(uri: str, error: BaseException) -> RasterError:
    if "missing codec" in _cause(error) or suffix(uri) in _UNSUPPORTED:
        return RasterError(
            f"{uri}: expected a raster that the GDAL installed here decodes, got one that it has no codec or driver "
            f"for ({_cause(error)}): convert it where GDAL has it, e.g. to a COG with gdal_translate -of COG"
        )
    return RasterError(
        f"{uri}: expected a raster such as GeoTIFF, got a file that GDAL cannot open ({_cause(error)}): "
        "it is not a raster, or it is cut off; fetch or write it again"
    )


def _cause(error: BaseException) -> str:
    """Return the first line of GDAL's message, which may quote a damaged file, without characters that control."""
    line = str(error.__cause__ or error).partition("\n")[0]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
