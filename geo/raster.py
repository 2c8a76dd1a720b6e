"""The only place that reads rasters: headers, tiles through overviews, small pictures.

No scene is ever read whole. Each read names the overview it uses and its exact, fractional window there: left to
itself, GDAL may choose an overview coarser than the level asked for, and loses fractions of a pixel on the way.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# GDAL's block cache in MB, for the whole process; by default it is a share of the machine's memory. An environment
# variable, because rasterio.Env would reset it at its end.
os.environ.setdefault("GDAL_CACHEMAX", "256")

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geo.address import gdal_name, gdal_options, is_address, look_up
from geo.errors import RasterError
from geo.georef import BaseGeoReference
from geo.grid import Level, Tile
from geo.located import crs_wkt, located, placement
from geo.rendition import Rendition, bands_of, rendition_of
from geo.types import ImageArray, Window

# A missing georeference is an error of its own here.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

# What rasterio lets through as GDAL has it, where a file is asked for what only its damaged parts tell: its CRS, which
# may be no text, or its points.
_LATE_ERRORS = (CPLE_BaseError, UnicodeDecodeError)
_GDAL_ERRORS = (RasterioError, *_LATE_ERRORS)
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
    with _opened(uri) as dataset:
        with _fitting(uri):
            bands = bands_of(dataset, bands)
        if resolution_m is None:
            georef, metres = located(dataset, uri, height_m)
        else:
            georef, metres = None, (resolution_m, resolution_m)
        scene_id = _fingerprint(dataset, uri)
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
        )


@contextmanager
def _opened(uri: str, **options: str) -> Iterator[Any]:
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


def _unopened(uri: str, error: BaseException) -> RasterError:
    return RasterError(
        f"{uri}: expected a raster such as GeoTIFF, got a file that GDAL cannot open ({_cause(error)}): "
        "it is no raster or it is cut off; fetch or write it again"
    )


def _cause(error: BaseException) -> str:
    """Returns the first line of what GDAL said."""
    return str(error.__cause__ or error).partition("\n")[0]


@contextmanager
def _fitting(uri: str) -> Iterator[None]:
    """Names the file in what is said of its bands."""
    try:
        yield
    except RasterError as error:
        raise RasterError(f"{uri}: {error}") from error


def _fingerprint(dataset: Any, uri: str) -> str:
    """Returns 16 hexadecimal digits; reading the sample also finds most files that are cut off."""
    remote = look_up(uri) if is_address(uri) else None
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
            with _reading(uri, window):
                pixels = dataset.read(
                    window=rasterio.windows.Window(window.col, window.row, window.width, window.height)
                )
            digest.update(pixels.tobytes())
    return digest.hexdigest()[:16]


def _patches(length: int, count: int) -> list[int]:
    """Returns where the fingerprint's patches start along one axis."""
    return [int(start) for start in np.linspace(0, max(0, length - _PATCH_PX), count)]


@contextmanager
def _reading(uri: str, window: Window) -> Iterator[None]:
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


class RasterReader:
    """Reads tiles of one scene; a context manager, to be used by one thread at a time.

    Args:
        uri: A raster file that `read_header` accepts.
        rendition: As its header says; None to look again.

    Raises:
        RasterError: On entry, where the file cannot be opened.
    """

    def __init__(self, uri: str, rendition: Rendition | None = None) -> None:
        self._uri = uri
        self._told = rendition
        self._stack = ExitStack()
        self._datasets: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with _opened(self._uri) as dataset:
            with _fitting(self._uri):
                self._rendition = self._told or rendition_of(dataset, None)
            self._bands = list(self._rendition.bands)
            self._dtype = np.dtype(dataset.dtypes[self._bands[0] - 1])
            self._marked = any(MaskFlags.all_valid not in dataset.mask_flag_enums[band - 1] for band in self._bands)
            # (decimation as GDAL rounds it, position), coarsest first; 0 and 1 are those of damaged files.
            factors = enumerate(dataset.overviews(1))
            self._overviews = sorted(((factor, n) for n, factor in factors if factor > 1), reverse=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._datasets.clear()
        self._stack.close()

    def read_tile(self, tile: Tile) -> ImageArray:
        """Returns what the tile's window shows, uint8 (tile_px, tile_px, 3), red, green, blue.

        The level's pixels are area averages of the scene's (or of the coarsest overview that is not coarser than the
        level), or bilinear where the level is finer. One band is repeated. What is missing is black, as is everything
        beyond the scene: a detector has seen tiles that end so.

        Raises:
            RasterError: The file is damaged there.
        """
        image = np.zeros((tile.window.height, tile.window.width, 3), dtype=np.uint8)
        inside = _inside(tile)
        self._fill(image[: inside.height, : inside.width], inside, tile.level)
        return image

    def read_window(self, window: Window, level: Level) -> ImageArray:
        """Returns the pixels of a window inside the level, uint8 (height, width, 3); as `read_tile` otherwise."""
        image = np.empty((window.height, window.width, 3), dtype=np.uint8)
        self._fill(image, window, level)
        return image

    def read_valid(self, tile: Tile) -> NDArray[np.bool_] | None:
        """Returns which pixels of the tile's window show the scene, (tile_px, tile_px); nothing beyond it does.

        None, without a look at any pixel, where nothing of the scene can be missing in the window. Missing are pixels
        that nodata, a mask or alpha marks in every band that is read, those that are no number in any, and those of a
        black border.

        Raises:
            RasterError: The file is damaged there.
        """
        inside = _inside(tile)
        raw = self._raw(inside, tile.level) if self._hides(inside, tile.level) else None
        missing = self._missing(raw, inside, tile.level)
        if missing is None:
            return None
        valid = np.zeros((tile.window.height, tile.window.width), dtype=np.bool_)
        valid[: inside.height, : inside.width] = ~missing
        return valid

    def is_empty(self, tile: Tile) -> bool:
        """Says whether everything in the tile's window is missing.

        Raises:
            RasterError: The file is damaged there.
        """
        valid = self.read_valid(tile)
        return valid is not None and not valid.any()

    def _fill(self, image: ImageArray, window: Window, level: Level) -> None:
        """Reads a window inside the level into `image`, uint8 (height, width, 3); plain colours without a copy."""
        stretch = self._rendition.stretch
        if len(self._bands) == 3 and stretch is None:
            raw = np.moveaxis(image, -1, 0)
            self._read_pixels(window, level, raw)
        else:
            raw = self._raw(window, level)
            image[:] = np.moveaxis(raw if stretch is None else stretch.apply(raw), 0, -1)
        missing = self._missing(raw, window, level)
        if missing is not None:
            image[missing] = 0

    def _raw(self, window: Window, level: Level) -> NDArray[Any]:
        """Returns a window inside the level as it is in the file, (bands, height, width)."""
        return self._read_pixels(window, level, np.empty((len(self._bands), window.height, window.width), self._dtype))

    def _read_pixels(self, window: Window, level: Level, out: NDArray[Any]) -> NDArray[Any]:
        dataset = self._dataset(level)
        return self._read(dataset.read, dataset, window, level, out)

    def _hides(self, window: Window, level: Level) -> bool:
        """Says whether only the pixels tell what is missing: no numbers, or the black of a border."""
        return self._dtype.kind == "f" or self._reached(window, level) is not None

    def _reached(self, window: Window, level: Level) -> NDArray[np.bool_] | None:
        """Returns where in the window the black border may lie, (height, width), or None."""
        collar = self._rendition.collar
        if collar is None:
            return None
        x = (np.arange(window.col, window.right) + 0.5) / level.width
        y = (np.arange(window.row, window.bottom) + 0.5) / level.height
        reached = collar.reaches(x, y)
        return reached if reached.any() else None

    def _missing(self, raw: NDArray[Any] | None, window: Window, level: Level) -> NDArray[np.bool_] | None:
        """Returns which pixels are missing, (height, width), or None; `raw` where `_hides` asks for it."""
        parts = []
        if self._marked:
            dataset = self._dataset(level)
            masks = np.empty((len(self._bands), window.height, window.width), np.uint8)
            parts.append(~self._read(dataset.read_masks, dataset, window, level, masks).any(axis=0))
        if raw is not None and self._dtype.kind == "f":
            parts.append(~np.isfinite(raw).any(axis=0))
        reached = self._reached(window, level)
        if raw is not None and reached is not None:
            parts.append(reached & ~raw.any(axis=0))
        return np.logical_or.reduce(parts) if parts else None

    def _read(self, read: Any, dataset: Any, window: Window, level: Level, out: NDArray[Any]) -> NDArray[Any]:
        """Calls `dataset.read` or `dataset.read_masks` for a window of the level into `out`, (bands, height, width)."""
        by_x, by_y = dataset.width / level.width, dataset.height / level.height
        left, right = _snapped(window.col * by_x), _snapped(window.right * by_x)
        top, bottom = _snapped(window.row * by_y), _snapped(window.bottom * by_y)
        with _reading(self._uri, _scene_window(window, level)):
            read(
                self._bands,
                window=rasterio.windows.Window(left, top, right - left, bottom - top),
                out=out,
                resampling=Resampling.bilinear if min(by_x, by_y) < 1 else Resampling.average,
            )
        return out

    def _dataset(self, level: Level) -> Any:
        """Returns the coarsest overview whose pixels are not coarser than the level's, or the scene itself."""
        for factor, position in self._overviews:
            if factor < 2 * max(level.scale_x, level.scale_y):
                overview = self._opened_once(f"{position} only")
                if overview.width >= level.width and overview.height >= level.height:
                    return overview
        return self._opened_once("NONE")

    def _opened_once(self, overview: str) -> Any:
        """Opens one overview alone, or the scene without any ("NONE"), so that GDAL has nothing to choose from."""
        if overview not in self._datasets:
            self._datasets[overview] = self._stack.enter_context(_opened(self._uri, overview_level=overview))
        return self._datasets[overview]


def _inside(tile: Tile) -> Window:
    """Returns the part of a tile's window that lies in its level."""
    return tile.window.intersection(Window(0, 0, tile.level.width, tile.level.height))


def _snapped(value: float) -> float:
    """Takes the rounding noise off a pixel edge, so that whole pixels are copied and the last one is not lost."""
    whole = round(value)
    return float(whole) if abs(value - whole) < 1e-6 else value


def _scene_window(window: Window, level: Level) -> Window:
    """Returns the scene pixels of a level's window, for messages."""
    left, top = int(window.col * level.scale_x), int(window.row * level.scale_y)
    right, bottom = round(window.right * level.scale_x), round(window.bottom * level.scale_y)
    return Window(left, top, right - left, bottom - top)


def read_overview(uri: str, max_px: int, bands: tuple[int, ...] | None = None) -> ImageArray:
    """Returns the whole scene as a small picture, uint8 (height, width, 3), its longer side at most `max_px`.

    Args:
        uri: A raster file.
        max_px: Pixels.
        bands: As for `read_header`.

    Raises:
        RasterError: The file cannot be read.
    """
    with _opened(uri) as dataset, _fitting(uri):
        size = (dataset.width, dataset.height)
        rendition = rendition_of(dataset, bands)
    shrink = max(1.0, max(size) / max_px)
    width, height = (max(1, round(length / shrink)) for length in size)
    level = Level(float("nan"), width, height, size[0] / width, size[1] / height)
    with RasterReader(uri, rendition) as reader:
        return reader.read_window(Window(0, 0, width, height), level)


def read_size(uri: str) -> tuple[int, int]:
    """Returns columns and rows of a picture, georeferenced or not; looks at its header alone.

    Raises:
        RasterError: The file is missing, no raster, or its bands do not fit.
    """
    with _opened(uri) as dataset:
        with _fitting(uri):
            bands_of(dataset, None)
        return dataset.width, dataset.height


def read_picture(uri: str) -> ImageArray:
    """Returns a picture that fits in memory as it is, georeferenced or not, uint8 (height, width, 3).

    Raises:
        RasterError: The file is missing, no raster, damaged, or its bands do not fit.
    """
    return read_overview(uri, max(read_size(uri)))
