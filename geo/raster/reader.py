"""Reading of scene pixels: tiles at any level, through overviews, and whole images reduced to a small size.

No scene is ever read at full size. Each read names the overview it uses and its exact, fractional window there: left to
itself, GDAL may choose an overview coarser than the level, and loses fractions of a pixel.
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
from geo.raster.gdal_io import dataset_files, naming_file, open_parts, open_raster, read_errors, shadowed_alpha
from geo.raster.radiometry import Radiometry, read_radiometry
from geo.raster.uri import file_version, is_remote, stat_remote
from geo.types import ImageArray, Window

# Overviews fill the scene: their pixel size is scene size / overview size. Those inside JPEG and JPEG 2000 files do
# not: each has exactly half the resolution of the one before, so that the last column of an odd width extends beyond
# the scene. In JPEG 2000 a pixel is moreover centred on the first of two pixels, not between them: repeated halving
# shifts the image right and down by up to this fraction of an overview pixel.
_EXACT_HALVES = {"JPEG": 0.0, "JP2": 0.5}
# GDAL takes an overview whose factor is less than this above the one that is asked for (3.10, by trial).
_GDAL_TOLERANCE = 0.1


class RasterReader:
    """Reader of a scene's tiles; a context manager, for one thread at a time.

    Args:
        uri: a raster that `read_header` accepts.
        radiometry: from its header; None to derive it again.
        version: from its header: a file that has been rewritten since is rejected. Remote files are checked on entry,
            local ones also after each tile. None to skip the check.
        bands: as for `read_header`, where the radiometry is derived again.

    Raises:
        RasterError: on entry, if the file cannot be opened or is another version.
    """

    def __init__(
        self,
        uri: str,
        radiometry: Radiometry | None = None,
        version: str | None = None,
        bands: tuple[int, ...] | None = None,
    ) -> None:
        self._uri = uri
        self._requested_bands = bands
        self._given_radiometry = radiometry
        self._version = version
        self._stack = ExitStack()
        self._datasets: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._version is not None and is_remote(self._uri):
            self._check_version(file_version(stat_remote(self._uri)))
        with open_raster(self._uri) as dataset:
            with naming_file(self._uri):
                self._radiometry = self._given_radiometry or read_radiometry(dataset, self._requested_bands)
            self._width, self._height = dataset.width, dataset.height
            self._halving, self._inner_factors = _halving_codec(dataset)
            self._bands = list(self._radiometry.bands)
            self._dtype = np.dtype(dataset.dtypes[self._bands[0] - 1])
            flags = {flag for band in self._bands for flag in dataset.mask_flag_enums[band - 1]}
            unmasked = (
                {MaskFlags.all_valid, MaskFlags.nodata} if self._radiometry.ignore_nodata_tag else {MaskFlags.all_valid}
            )
            self._has_mask = not flags <= unmasked
            self._alpha = shadowed_alpha(dataset)
            # (decimation as GDAL rounds it, position), coarsest first; damaged files have 0 and 1.
            factors = enumerate(dataset.overviews(1))
            self._overviews = sorted(((factor, n) for n, factor in factors if factor > 1), reverse=True)
            self._files = [] if is_remote(self._uri) else dataset_files(dataset)
        self._check_local_version()
        return self

    def __exit__(self, *_: object) -> None:
        self._datasets.clear()
        self._stack.close()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the scene."""
        return self._width, self._height

    @property
    def radiometry(self) -> Radiometry:
        """How its values become 8-bit RGB."""
        return self._radiometry

    def reopen(self) -> None:
        """Close and open the scene again, so that a failed read leaves no state behind.

        Raises:
            RasterError: as on entry.
        """
        self.__exit__()
        self.__enter__()

    def read_tile(self, tile: Tile) -> ImageArray:
        """Return the tile's window as RGB, uint8 (height, width, 3).

        Level pixels are area averages of the scene's pixels (or of the coarsest overview that is not coarser than the
        level), or bilinear if the level is finer. A grey band is repeated. Nodata is black, and so is what lies beyond
        the scene: detectors are trained on tiles padded like this.

        Raises:
            RasterError: the file is damaged there, or is another version.
        """
        image = np.zeros((tile.window.height, tile.window.width, 3), dtype=np.uint8)
        inside = _clip_to_level(tile)
        self._fill(image[: inside.height, : inside.width], inside, tile.level)
        self._check_local_version()
        return image

    def read_window(self, window: Window, level: Level) -> ImageArray:
        """Return the pixels of a window inside the level, uint8 (height, width, 3); otherwise as `read_tile`."""
        image = np.empty((window.height, window.width, 3), dtype=np.uint8)
        self._fill(image, window, level)
        return image

    def read_overview(self, max_px: int) -> ImageArray:
        """Return the scene reduced to at most `max_px` on its longer side, uint8 (height, width, 3).

        Raises:
            RasterError: The file is damaged.
        """
        shrink = max(1.0, max(self.size) / max_px)
        width, height = (max(1, round(length / shrink)) for length in self.size)
        level = Level(float("nan"), width, height, self._width / width, self._height / height)
        return self.read_window(Window(0, 0, width, height), level)

    def read_valid_mask(self, tile: Tile) -> NDArray[np.bool_] | None:
        """Return which pixels of the tile's window are valid, bool (height, width); False beyond the scene.

        Invalid are pixels that nodata, a mask or alpha marks in every band that is read, pixels that are not finite in
        any, and those of a collar or of an untagged fill. None, without reading any pixel, if the window has no nodata.

        Raises:
            RasterError: the file is damaged there, or is another version.
        """
        inside = _clip_to_level(tile)
        raw = self._read_raw(inside, tile.level) if self._nodata_needs_pixels(inside, tile.level) else None
        nodata = self._nodata_mask(raw, inside, tile.level)
        self._check_local_version()
        if nodata is None:
            return None
        valid = np.zeros((tile.window.height, tile.window.width), dtype=np.bool_)
        valid[: inside.height, : inside.width] = ~nodata
        return valid

    def is_empty(self, tile: Tile) -> bool:
        """Return whether the tile's window is all nodata.

        Raises:
            RasterError: the file is damaged there, or is another version.
        """
        valid = self.read_valid_mask(tile)
        return valid is not None and not valid.any()

    def _check_local_version(self) -> None:
        if self._version is not None and not is_remote(self._uri):
            self._check_version(file_version(self._files))

    def _check_version(self, version: str) -> None:
        if version != self._version:
            raise RasterError(
                f"{self._uri}: expected the file whose header was read, got one that was moved or rewritten since: "
                "leave it unchanged, and run again"
            )

    def _fill(self, image: ImageArray, window: Window, level: Level) -> None:
        """Read a window inside the level into `image`, uint8 (height, width, 3); 8-bit RGB without a copy."""
        stretch = self._radiometry.stretch
        if len(self._bands) == 3 and stretch is None:
            raw = np.moveaxis(image, -1, 0)
            self._read_pixels(window, level, raw)
        else:
            raw = self._read_raw(window, level)
            image[:] = np.moveaxis(raw if stretch is None else stretch.apply(raw), 0, -1)
        nodata = self._nodata_mask(raw, window, level)
        if self._radiometry.inverted:
            np.subtract(255, image, out=image)
        if nodata is not None:
            image[nodata] = 0

    def _read_raw(self, window: Window, level: Level) -> NDArray[Any]:
        """Return the file's values in a window inside the level, (bands, height, width)."""
        return self._read_pixels(window, level, np.empty((len(self._bands), window.height, window.width), self._dtype))

    def _read_pixels(self, window: Window, level: Level, out: NDArray[Any]) -> NDArray[Any]:
        dataset = self._select_dataset(level)
        return self._read(dataset.read, dataset, window, level, out)

    def _nodata_needs_pixels(self, window: Window, level: Level) -> bool:
        """Return whether nodata depends on pixel values: NaN, an untagged fill, or the value of a collar."""
        by_value = self._dtype.kind == "f" or self._radiometry.fill is not None
        return by_value or self._collar_mask(window, level) is not None

    def _collar_mask(self, window: Window, level: Level) -> NDArray[np.bool_] | None:
        """Return where the collar may lie in the window, (height, width); None if it does not reach the window."""
        collar = self._radiometry.collar
        if collar is None:
            return None
        x = (np.arange(window.col, window.right) + 0.5) / level.width
        y = (np.arange(window.row, window.bottom) + 0.5) / level.height
        mask = collar.covers(x, y)
        return mask if mask.any() else None

    def _nodata_mask(self, raw: NDArray[Any] | None, window: Window, level: Level) -> NDArray[np.bool_] | None:
        """Return which pixels are nodata, (height, width), or None; needs `raw` if `_nodata_needs_pixels`."""
        masks = []
        if self._has_mask:
            dataset = self._select_dataset(level)
            valid = np.empty((len(self._bands), window.height, window.width), np.uint8)
            masks.append(~self._read(dataset.read_masks, dataset, window, level, valid).any(axis=0))
        if self._alpha is not None:
            dataset = self._select_dataset(level)
            alpha = np.empty((1, window.height, window.width), dataset.dtypes[self._alpha - 1])
            masks.append(self._read(dataset.read, dataset, window, level, alpha, [self._alpha])[0] == 0)
        if raw is not None and self._dtype.kind == "f":
            masks.append(~np.isfinite(raw).any(axis=0))
        if raw is not None and self._radiometry.fill is not None:
            masks.append(self._radiometry.fill.covers(raw))
        collar = self._collar_mask(window, level)
        if raw is not None and collar is not None and self._radiometry.collar is not None:
            masks.append(collar & (raw == self._radiometry.collar.value).all(axis=0))
        return np.logical_or.reduce(masks) if masks else None

    def _read(
        self,
        read: Any,
        dataset: Any,
        window: Window,
        level: Level,
        out: NDArray[Any],
        bands: list[int] | None = None,
    ) -> NDArray[Any]:
        """Call `dataset.read` or `dataset.read_masks` for a window of the level into `out`, (bands, height, width)."""
        scale_x, scale_y, offset = self._dataset_scale(dataset, level)
        left, columns = _span(window.col, window.width, scale_x, offset, dataset.width)
        top, rows = _span(window.row, window.height, scale_y, offset, dataset.height)
        with read_errors(self._uri, _scene_window(window, level)):
            read(
                bands or self._bands,
                window=rasterio.windows.Window(left, top, _snap(columns * scale_x), _snap(rows * scale_y)),
                out=out[:, :rows, :columns],
                resampling=Resampling.bilinear if min(scale_x, scale_y) < 1 else Resampling.average,
            )
        out[:, rows:] = out[:, rows - 1 : rows]
        out[:, :, columns:] = out[:, :, columns - 1 : columns]
        return out

    def _dataset_scale(self, dataset: Any, level: Level) -> tuple[float, float, float]:
        """Return columns and rows of a dataset (the scene or an overview) per level pixel, and the origin's offset.

        The offset of the level's origin is in pixels of the dataset, the same along both axes.
        """
        halvings = round(math.log2(self._width / dataset.width))
        if self._halving is None or not (halvings or self._inner_factors):
            return dataset.width / level.width, dataset.height / level.height, 0.0
        factor = 2.0**halvings
        # Of an inner file GDAL takes an overview by a rule of its own, whatever the outer one offers.
        limit = min(level.scale_x, level.scale_y) + _GDAL_TOLERANCE
        inner = max([factor, *(inner for inner in self._inner_factors if inner < limit)])
        return level.scale_x / factor, level.scale_y / factor, _EXACT_HALVES[self._halving] * (inner - 1) / factor

    def _select_dataset(self, level: Level) -> Any:
        """Return the coarsest overview that is not coarser than the level, or the scene itself."""
        for factor, position in self._overviews:
            if factor < 2 * max(level.scale_x, level.scale_y):
                overview = self._open_overview(f"{position} only")
                if overview.width >= level.width and overview.height >= level.height:
                    return overview
        return self._open_overview("NONE")

    def _open_overview(self, overview: str) -> Any:
        """Open, once, a single overview or the scene without any ("NONE"), so that GDAL has no choice."""
        if overview not in self._datasets:
            self._datasets[overview] = self._stack.enter_context(open_raster(self._uri, overview_level=overview))
        return self._datasets[overview]


def _halving_codec(dataset: Any) -> tuple[str | None, list[int]]:
    """Return the key of `_EXACT_HALVES` that an open raster's overviews follow, or None if they fill the scene.

    NITF may hold JPEG 2000, and a VRT has the overviews of its files: also return the factors of such an inner file.
    """
    if dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") == "JPEG2000":
        return "JP2", [1, *dataset.overviews(1)[:1]]  # opened alone, its overviews have none of their own
    if dataset.driver == "VRT":
        # The files of a VRT are alike in practice, and there may be thousands.
        with open_parts([file for file in dataset_files(dataset) if file != dataset.name][:1]) as parts:
            for part in parts:
                return _halving_codec(part)[0], [1, *part.overviews(1)]
    return next((codec for codec in _EXACT_HALVES if dataset.driver.startswith(codec)), None), []


def _clip_to_level(tile: Tile) -> Window:
    """Return the part of a tile's window inside its level."""
    return tile.window.intersection(Window(0, 0, tile.level.width, tile.level.height))


def _span(start: int, length: int, scale: float, offset: float, end: int) -> tuple[float, int]:
    """Return the start of a window along one axis of an overview, and how many of its pixels lie inside, 1 or more.

    Args:
        start: first row or column of the window, level pixels.
        length: length of the window, level pixels.
        scale: overview pixels per level pixel.
        offset: start of the level, overview pixels.
        end: length of the overview, overview pixels.
    """
    first = _snap(start * scale + offset)
    count = math.floor(_snap((end - first) / scale))
    return (first, min(length, count)) if count > 0 else (end - scale, 1)


def _snap(value: float) -> float:
    """Round a pixel edge if it is an integer but for floating-point error; else pixels would be resampled or lost."""
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < 1e-6 else value


def _scene_window(window: Window, level: Level) -> Window:
    """Return a level's window in scene pixels, for messages."""
    left, top = int(window.col * level.scale_x), int(window.row * level.scale_y)
    right, bottom = round(window.right * level.scale_x), round(window.bottom * level.scale_y)
    return Window(left, top, right - left, bottom - top)


def read_image(uri: str) -> ImageArray:
    """Return an image that fits in memory at full size, georeferenced or not, uint8 (height, width, 3).

    Raises:
        RasterError: the file is missing, not a raster or damaged, or its bands do not fit.
    """
    with RasterReader(uri) as reader:
        return reader.read_overview(max(reader.size))
