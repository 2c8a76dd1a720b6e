"""The only place that reads the pixels of scenes: tiles through overviews, small pictures.

No scene is ever read whole. Each read names the overview it uses and its exact, fractional window there: left to
itself, GDAL may choose an overview coarser than the level asked for, and loses fractions of a pixel on the way.
"""

import math
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling

from geo.errors import RasterError
from geo.grid import Level, Tile
from geo.raster.gdal_io import dataset_files, naming_file, open_raster, read_errors
from geo.raster.header import read_size
from geo.raster.radiometry import Radiometry, read_radiometry
from geo.raster.uri import file_version, is_remote, stat_remote
from geo.types import ImageArray, Window

# Overviews fill the scene, each pixel of them as many pixels of it. Not so those inside of a JPEG or a JPEG 2000 file:
# each is twice as coarse as the one before, so that the last column of an odd number reaches beyond the scene. And in
# JPEG 2000 a pixel stands for the first of two, not for both: the picture lies, in the end, this share of a pixel to
# the right and below.
_EXACT_HALVES = {"JPEG": 0.0, "JP2": 0.5}


class RasterReader:
    """Reads tiles of one scene; a context manager, to be used by one thread at a time.

    Args:
        uri: A raster file that `read_header` accepts.
        radiometry: As its header says; None to look again.
        version: As its header says: what was written since is not read. An address is asked once, local files are
            looked at after each tile. None to read what is there.

    Raises:
        RasterError: On entry, where the file cannot be opened, or is another version.
    """

    def __init__(self, uri: str, radiometry: Radiometry | None = None, version: str | None = None) -> None:
        self._uri = uri
        self._told = radiometry
        self._version = version
        self._stack = ExitStack()
        self._datasets: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._version is not None and is_remote(self._uri):
            self._check(file_version(stat_remote(self._uri)))
        with open_raster(self._uri) as dataset:
            with naming_file(self._uri):
                self._radiometry = self._told or read_radiometry(dataset, None)
            self._driver, self._width = dataset.driver, dataset.width
            self._bands = list(self._radiometry.bands)
            self._dtype = np.dtype(dataset.dtypes[self._bands[0] - 1])
            self._marked = any(MaskFlags.all_valid not in dataset.mask_flag_enums[band - 1] for band in self._bands)
            # (decimation as GDAL rounds it, position), coarsest first; 0 and 1 are those of damaged files.
            factors = enumerate(dataset.overviews(1))
            self._overviews = sorted(((factor, n) for n, factor in factors if factor > 1), reverse=True)
            self._files = [] if is_remote(self._uri) else dataset_files(dataset)
        self._check_files()
        return self

    def __exit__(self, *_: object) -> None:
        self._datasets.clear()
        self._stack.close()

    def reopen(self) -> None:
        """Opens the scene anew, so that nothing is left of what went wrong with a read.

        Raises:
            RasterError: As on entry.
        """
        self.__exit__()
        self.__enter__()

    def read_tile(self, tile: Tile) -> ImageArray:
        """Returns what the tile's window shows, uint8 (tile_px, tile_px, 3), red, green, blue.

        The level's pixels are area averages of the scene's (or of the coarsest overview that is not coarser than the
        level), or bilinear where the level is finer. One band is repeated. What is missing is black, as is everything
        beyond the scene: a detector has seen tiles that end so.

        Raises:
            RasterError: The file is damaged there, or is another version.
        """
        image = np.zeros((tile.window.height, tile.window.width, 3), dtype=np.uint8)
        inside = _inside(tile)
        self._fill(image[: inside.height, : inside.width], inside, tile.level)
        self._check_files()
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
            RasterError: The file is damaged there, or is another version.
        """
        inside = _inside(tile)
        raw = self._raw(inside, tile.level) if self._hides(inside, tile.level) else None
        missing = self._missing(raw, inside, tile.level)
        self._check_files()
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

    def _check_files(self) -> None:
        if self._version is not None and not is_remote(self._uri):
            self._check(file_version(self._files))

    def _check(self, version: str) -> None:
        if version != self._version:
            raise RasterError(
                f"{self._uri}: expected the file whose header was read, got one that was moved or written since: "
                "leave it as it is, and run again"
            )

    def _fill(self, image: ImageArray, window: Window, level: Level) -> None:
        """Reads a window inside the level into `image`, uint8 (height, width, 3); plain colours without a copy."""
        stretch = self._radiometry.stretch
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
        collar = self._radiometry.collar
        if collar is None:
            return None
        x = (np.arange(window.col, window.right) + 0.5) / level.width
        y = (np.arange(window.row, window.bottom) + 0.5) / level.height
        reached = collar.covers(x, y)
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
        by_x, by_y, off = self._place(dataset, level)
        left, cols = _span(window.col, window.width, by_x, off, dataset.width)
        top, rows = _span(window.row, window.height, by_y, off, dataset.height)
        with read_errors(self._uri, _scene_window(window, level)):
            read(
                self._bands,
                window=rasterio.windows.Window(left, top, _snapped(cols * by_x), _snapped(rows * by_y)),
                out=out[:, :rows, :cols],
                resampling=Resampling.bilinear if min(by_x, by_y) < 1 else Resampling.average,
            )
        out[:, rows:] = out[:, rows - 1 : rows]
        out[:, :, cols:] = out[:, :, cols - 1 : cols]
        return out

    def _place(self, dataset: Any, level: Level) -> tuple[float, float, float]:
        """Returns columns and rows of an overview, or of the scene, per level pixel, and where 0 comes to lie."""
        codec = next((codec for codec in _EXACT_HALVES if self._driver.startswith(codec)), None)
        halvings = round(math.log2(self._width / dataset.width))
        if codec is None or not halvings:
            return dataset.width / level.width, dataset.height / level.height, 0.0
        factor = 2.0**halvings
        return level.scale_x / factor, level.scale_y / factor, _EXACT_HALVES[codec] * (1 - 1 / factor)

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
            self._datasets[overview] = self._stack.enter_context(open_raster(self._uri, overview_level=overview))
        return self._datasets[overview]


def _inside(tile: Tile) -> Window:
    """Returns the part of a tile's window that lies in its level."""
    return tile.window.intersection(Window(0, 0, tile.level.width, tile.level.height))


def _span(start: int, length: int, by: float, off: float, end: int) -> tuple[float, int]:
    """Returns where a window begins along one axis of an overview, and how many of its pixels lie in it: one at least.

    Args:
        start: Of the window, pixels of the level.
        length: Of the window, pixels of the level.
        by: Pixels of the overview per pixel of the level.
        off: Where the level begins, pixels of the overview.
        end: Pixels of the overview.
    """
    first = _snapped(start * by + off)
    count = math.floor(_snapped((end - first) / by))
    return (first, min(length, count)) if count > 0 else (end - by, 1)


def _snapped(value: float) -> float:
    """Takes the rounding noise off a pixel edge, so that whole pixels are copied and the last one is not lost."""
    whole = round(value)
    return float(whole) if abs(value - whole) < 1e-6 else value


def _scene_window(window: Window, level: Level) -> Window:
    """Returns the scene pixels of a level's window, for messages."""
    left, top = int(window.col * level.scale_x), int(window.row * level.scale_y)
    right, bottom = round(window.right * level.scale_x), round(window.bottom * level.scale_y)
    return Window(left, top, right - left, bottom - top)


def read_thumbnail(uri: str, max_px: int, bands: tuple[int, ...] | None = None) -> ImageArray:
    """Returns the whole scene as a small picture, uint8 (height, width, 3), its longer side at most `max_px`.

    Args:
        uri: A raster file.
        max_px: Pixels.
        bands: As for `read_header`.

    Raises:
        RasterError: The file cannot be read.
    """
    with open_raster(uri) as dataset, naming_file(uri):
        size = (dataset.width, dataset.height)
        radiometry = read_radiometry(dataset, bands)
    shrink = max(1.0, max(size) / max_px)
    width, height = (max(1, round(length / shrink)) for length in size)
    level = Level(float("nan"), width, height, size[0] / width, size[1] / height)
    with RasterReader(uri, radiometry) as reader:
        return reader.read_window(Window(0, 0, width, height), level)


def read_image(uri: str) -> ImageArray:
    """Returns a picture that fits in memory as it is, georeferenced or not, uint8 (height, width, 3).

    Raises:
        RasterError: The file is missing, no raster, damaged, or its bands do not fit.
    """
    return read_thumbnail(uri, max(read_size(uri)))
