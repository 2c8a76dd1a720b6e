"""Conversion of a file's pixel values to 8-bit RGB: band selection, display stretch, untagged nodata.

Decided once per scene and applied to every tile alike.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.errors import RasterError
from geo.raster.gdal_io import shadowed_alpha
from geo.types import FloatArray, ImageArray

_RGB = ("red", "green", "blue")

_PERCENTILES = (1.0, 99.0, 99.9)
# Levels to which the 1st and the 99th percentile of a stretched scene are mapped. Not 0 and 255: in photos made for
# viewing they lie at 30 to 61 and at 200 to 247 (medians of four airport data sets), and detectors learn from those.
_DARK, _BRIGHT = 50.0, 235.0
# 8-bit data has been stretched by its producer, unless next to no value exceeds this level.
_DIM = 64

# Statistics come from an overview whose longer side has at least this many pixels; the collar from as many cells.
_SAMPLE_PX = 512
# Without such an overview, they come from this many patches along each axis.
_PATCHES, _PATCH_PX = 8, 64

# A saturated value is taken for a fill only if it makes up this share of the sample: more than the glints of a scene.
_MIN_FILL_SHARE = 0.002
# Values at which sensors of 8 to 14 bits and reflectances end: white airplanes hold them.
_SATURATED = {1.0, 10_000.0, *(2.0**bits - 1 for bits in range(8, 15))}
# No sensor measures more, in whatever unit; formats such as netCDF fill with values beyond.
_MAX_MEASURED = 1e10
# A fill has next to no pixels of nearly its brightness beside it: at most this share of its own.
_MAX_BETWEEN = 0.02
# It is looked for in about so many pixels of the sample.
_FILL_SAMPLE = 500_000
# A region of a bright nodata value that does not touch the border is nodata from this share of the scene on; smaller
# ones are saturated roofs and airplanes.
_MIN_NODATA_REGION = 0.01
# A nodata value whose display level is at least this is bright: white airplanes may hold it, too.
_BRIGHT_NODATA = 128


@dataclass(frozen=True, slots=True)
class Stretch:
    """Linear display stretch: the values that become 0 and 255, clipped outside.

    One for all bands, so that hues are preserved.

    Raises:
        ValueError: the values are not finite, or `low` is not below `high`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"expected finite low < high, got {self.low} and {self.high}")

    def apply(self, pixels: NDArray[Any]) -> ImageArray:
        """Return pixels of any shape and real type as uint8; NaN becomes 0."""
        with np.errstate(over="ignore", invalid="ignore"):  # nodata can be as large as float32 allows
            levels = np.subtract(pixels, np.float32(self.low), dtype=np.float32)
            levels *= np.float32(255 / (self.high - self.low))
        np.nan_to_num(levels, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        return np.asarray(np.rint(levels.clip(0, 255)), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Collar:
    """Mask of a scene's border of one value, in coarse cells that cover the scene.

    Pixels of that value in these cells are nodata; elsewhere (shadow, dark water; white airplanes) they are ground.

    Args:
        columns: cells along a row.
        rows: cells along a column.
        packed: the compressed mask, small enough to be sent with every chunk of tiles.
        value: the border's value: 0, or the file's nodata value if that is bright.
    """

    columns: int
    rows: int
    packed: bytes
    value: float = 0.0

    def covers(self, x: FloatArray, y: FloatArray) -> NDArray[np.bool_]:
        """Return the mask (len(y), len(x)) at these positions, given as fractions 0..1 of the scene's width, height."""
        bits = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        cells = np.unpackbits(bits, count=self.rows * self.columns).reshape(self.rows, self.columns).astype(np.bool_)
        columns = np.clip((x * self.columns).astype(np.int64), 0, self.columns - 1)
        rows = np.clip((y * self.rows).astype(np.int64), 0, self.rows - 1)
        return cells[np.ix_(rows, columns)]


@dataclass(frozen=True, slots=True)
class Fill:
    """A nodata value that no tag of the file names; a pixel is nodata if all its bands lie in `low`..`high`.

    Args:
        value: the value.
        low: lower limit, included.
        high: upper limit, included.
    """

    value: float
    low: float
    high: float

    def covers(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which pixels are nodata, (height, width), of an array (bands, height, width)."""
        return np.asarray(((pixels >= self.low) & (pixels <= self.high)).all(axis=0))


@dataclass(frozen=True, slots=True)
class Radiometry:
    """Conversion of the values of a file to 8-bit RGB.

    Args:
        bands: the bands to read, 1-based: red, green and blue, or a single grey band.
        stretch: the display stretch; None for 8-bit values that are used unchanged.
        collar: where black, or a bright nodata value, is nodata; None if the scene has no such border.
        fill: the untagged nodata value; None if there is none.
        inverted: whether 0 is white (TIFF's MINISWHITE).
        ignore_nodata_tag: whether the file's nodata value is bright, and so is nodata in the collar only.
    """

    bands: tuple[int, ...]
    stretch: Stretch | None
    collar: Collar | None
    fill: Fill | None = None
    inverted: bool = False
    ignore_nodata_tag: bool = False


def read_radiometry(dataset: Any, requested: tuple[int, ...] | None, nodata: float | None = None) -> Radiometry:
    """Derive the radiometry of an open raster from a bounded sample of its pixels.

    Unreadable parts are left out of the sample: reading their tiles will report them.

    Args:
        dataset: the raster.
        requested: as for `select_bands`.
        nodata: the nodata value that metadata outside of the file state; None if none do.

    Raises:
        RasterError: as for `select_bands`, or the file has another nodata value.
    """
    bands = select_bands(dataset, requested)
    stated = _untagged_nodata(dataset, bands, nodata)
    inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    collar = _read_collar(dataset, bands)
    dtype = np.dtype(dataset.dtypes[bands[0] - 1])
    sample = [_valid_values(pixels, mask, collar is not None) for pixels, mask in _sample(dataset, bands)]
    values = np.concatenate([np.empty((len(bands), 0), dtype), *sample], axis=1)
    fill = detect_fill(values) if stated is None else _exact_fill(stated, dtype)
    if fill is not None:
        values = values[:, ~fill.covers(values)]
    stretch = estimate_stretch(values.ravel())
    value = _nodata_tag(dataset, bands) if stated is None else stated
    cells = None
    if value is not None and values.size and _is_bright(value, stretch, inverted):
        cells = _read_cells(dataset, bands)
    if cells is None or value is None:
        return Radiometry(bands, stretch, collar, fill, inverted)
    # White airplanes hold the value, too: it is nodata in the border and in large gaps alone.
    border = detect_collar((cells[0] == value).all(axis=0), value, _MIN_NODATA_REGION)
    return Radiometry(bands, stretch, border or collar, None if stated is not None else fill, inverted, True)


def _nodata_tag(dataset: Any, bands: tuple[int, ...]) -> float | None:
    """Return the nodata value that the file names; None if it names none, or several."""
    values = {dataset.nodatavals[band - 1] for band in bands}
    return values.pop() if len(values) == 1 else None


def _untagged_nodata(dataset: Any, bands: tuple[int, ...], nodata: float | None) -> float | None:
    """Return the nodata value that metadata state if the file names none; None if it names the same.

    Raises:
        RasterError: the file names another nodata value.
    """
    if nodata is None or not math.isfinite(nodata):
        return None  # what is not finite is nodata anyway
    tagged = {dataset.nodatavals[band - 1] for band in bands} - {None}
    if tagged - {nodata}:
        raise RasterError(
            f"expected the nodata value {nodata:g}, as in its STAC item, got {sorted(tagged)} in the file: "
            "fix the item, or name the raster itself"
        )
    return None if tagged else nodata


def _exact_fill(value: float, dtype: np.dtype[Any]) -> Fill:
    """Return a fill of one value: half a step of whole numbers around it, or the precision of float32."""
    step = 0.5 if dtype.kind in "iu" else abs(value) * 1e-6
    return Fill(value, value - step, value + step)


def _is_bright(nodata: float, stretch: Stretch | None, inverted: bool) -> bool:
    """Return whether a nodata value is displayed bright.

    A value beyond what is displayed, such as -9999, or 65535 in 11 bits, is not: no airplane has it.
    """
    low, high = (0.0, 255.0) if stretch is None else (stretch.low, stretch.high)
    level = 255 * (nodata - low) / (high - low)
    return 0 <= level <= 255 and (255 - level if inverted else level) >= _BRIGHT_NODATA


def detect_fill(values: NDArray[Any]) -> Fill | None:
    """Return the nodata value that no tag names; None if the sample shows none.

    It is the lowest or the highest value of all, the same in every band of its pixels, and further from the other
    values than these are from each other. A lowest value is a fill if it is negative, 0 or 1: others may be ground.
    A highest value that the type could exceed may be a bright airplane on dark ground: it is a fill only if sensors and
    products do not end at it, and if next to nothing is as bright as that.

    Args:
        values: (bands, N) of any real type, a sample of the values that the file says are valid.
    """
    pixels = values[:, :: max(1, values.shape[1] // _FILL_SAMPLE)]
    if values.dtype.kind == "f":
        pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
    if not pixels.size:
        return None
    lowest, highest = float(pixels.min()), float(pixels.max())
    type_max = float((np.finfo if values.dtype.kind == "f" else np.iinfo)(values.dtype).max)
    is_8bit = values.dtype == np.uint8
    candidates = [(lowest, 0.0)] if lowest < 0 else []
    if lowest in (0, 1) and not is_8bit:
        candidates = [(lowest, _MIN_FILL_SHARE)]
    if highest == type_max or not (is_8bit or highest in _SATURATED):
        candidates.append((highest, 0.0 if type_max > highest > _MAX_MEASURED else _MIN_FILL_SHARE))
    for value, min_share in candidates:
        filled = (pixels == value).all(axis=0)
        if not min_share < filled.mean() < 1:
            continue
        # The outermost hundredths may be averages of fill and ground; what is averaged more than half is nodata.
        low, high = (float(edge) for edge in np.percentile(pixels[:, ~filled].astype(np.float64), (1, 99)))
        # Beside flat ground, as in drawn scenes, any airplane is far from all other values.
        if high == low and 0 <= value <= _MAX_MEASURED:
            continue
        if value < low - (high - low):
            return Fill(value, -math.inf, (value + low) / 2)
        limit = (value + high) / 2
        # The edges of bright objects are nearly as bright as these, and they are many.
        between = np.count_nonzero((pixels > limit).any(axis=0) & ~filled)
        is_alone = value > high + 3 * (high - low) and between <= _MAX_BETWEEN * np.count_nonzero(filled)
        if is_alone or (value == type_max and value > high + (high - low)):
            return Fill(value, limit, math.inf)
    return None


def select_bands(dataset: Any, requested: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the bands of an open raster to read, 1-based; reads no pixels.

    Raises:
        RasterError: there are no such bands, or they do not hold grey or colour values of one real type.
    """
    colours = [interpretation.name for interpretation in dataset.colorinterp]
    bands = choose_bands(colours, requested, [description or "" for description in dataset.descriptions])
    dtypes = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(dtypes) > 1 or "complex" in dtypes[0]:
        raise RasterError(
            f"expected real numbers of one type in the bands {list(bands)}, got {', '.join(dtypes)}: "
            "convert them, e.g. with gdal_translate -ot UInt16"
        )
    return bands


def choose_bands(
    colours: Sequence[str], requested: tuple[int, ...] | None = None, descriptions: Sequence[str] = ()
) -> tuple[int, ...]:
    """Return the bands to read, 1-based: red, green and blue, or a single grey band.

    These are the requested bands; else those with red, green and blue as colour interpretation or as description; else
    the first three bands that are not alpha, or the only one.

    Args:
        colours: colour interpretation of each band: red, green, blue, gray, undefined, alpha, palette ...
        requested: one band or three, 1-based; None to choose by the names in the file.
        descriptions: description of each band, as its producer wrote it; "" for none.

    Raises:
        RasterError: there are no such bands, they do not hold grey or colour values, or colour interpretation and
            descriptions contradict each other.
    """
    bands = _named_bands(colours, descriptions) if requested is None else requested
    if len(bands) not in (1, 3):
        raise RasterError(f"expected 1 band (grey) or 3 (red, green, blue) to read, got {list(bands)}: choose as many")
    if not all(1 <= band <= len(colours) for band in bands):
        raise RasterError(f"expected bands from 1 to {len(colours)}, got {list(bands)}: choose others")
    if any(colours[band - 1] == "palette" for band in bands):
        raise RasterError(
            "expected grey or colour values, got the indices of a palette: "
            "expand them, e.g. with gdal_translate -expand rgb"
        )
    return bands


def _named_bands(colours: Sequence[str], descriptions: Sequence[str]) -> tuple[int, ...]:
    named = [_rgb_bands(colours), _rgb_bands([description.strip().casefold() for description in descriptions])]
    choices = [bands for bands in named if bands is not None]
    if len(set(choices)) > 1:
        raise RasterError(
            f"expected one answer to which bands are red, green and blue, got {list(choices[0])} by colour "
            f"interpretation and {list(choices[1])} by description: set bands in the config, or correct the file"
        )
    if choices:
        return choices[0]
    opaque = [number for number, colour in enumerate(colours, start=1) if colour != "alpha"]
    if len(opaque) in (0, 2):
        raise RasterError(
            f"expected 1 band (grey) or at least 3 (red, green, blue), got {len(opaque)}: "
            "choose bands, e.g. with gdal_translate -b 1"
        )
    return tuple(opaque[:3]) if len(opaque) > 2 else (opaque[0],)


def _rgb_bands(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the bands named red, green and blue, 1-based; None unless each name stands exactly once."""
    return tuple(names.index(name) + 1 for name in _RGB) if all(names.count(name) == 1 for name in _RGB) else None


def estimate_stretch(values: NDArray[Any]) -> Stretch | None:
    """Return the display stretch for a sample of a scene's valid values; None for 8-bit values to be used unchanged.

    8-bit values are unchanged unless the scene is dim. A scene that fills the range of its bit depth (the fewest bits
    that hold its values) is scaled by that range, so that the same product in 8, 11 and 16 bits looks the same. Any
    other scene is stretched by its percentiles.

    Args:
        values: (N,) of any real type; NaN and infinities are left out.
    """
    finite = values[np.isfinite(values)]
    is_8bit = values.dtype == np.uint8
    if not len(finite):
        return None if is_8bit else Stretch(0.0, 1.0)
    # Faster than the percentiles, and enough for nearly all scenes of 8 bits.
    if is_8bit and np.count_nonzero(finite < _DIM) <= (len(finite) - 1) * _PERCENTILES[-1] / 100 - 1:
        return None
    dark, bright, top = (float(value) for value in np.percentile(finite.astype(np.float64), _PERCENTILES))
    if is_8bit and top >= _DIM:
        return None
    full = _bit_range(top, integer=values.dtype.kind in "iu")
    if not is_8bit and 0 <= dark <= full / 3 and bright >= full * 2 / 3:
        return Stretch(0.0, full)
    if bright - dark <= 1e-6 * max(abs(dark), abs(bright), 1e-30):  # a scene of one value becomes one dark grey
        return None if is_8bit else Stretch(dark - max(abs(dark), 1.0), dark + 4 * max(abs(dark), 1.0))
    per_level = (bright - dark) / (_BRIGHT - _DARK)
    return Stretch(dark - _DARK * per_level, bright + (255 - _BRIGHT) * per_level)


def _bit_range(top: float, integer: bool) -> float:
    """Return the largest value of the fewest bits that hold `top`; for fractions, the next power of two."""
    if top <= 0:
        return 1.0
    return float(2 ** math.ceil(top).bit_length() - 1) if integer else 2.0 ** math.ceil(math.log2(top))


def detect_collar(marked: NDArray[np.bool_], value: float = 0.0, min_share: float = 1.0) -> Collar | None:
    """Return the marked region connected to the scene's border; None if there is none, or if all is marked.

    Args:
        marked: (rows, columns), for each cell whether its sample has the border's value in every band.
        value: that value.
        min_share: a region that does not touch the border is part of it, too, from this share of the scene on.
    """
    from scipy import ndimage  # slow to import, and few scenes have a collar

    labels, count = ndimage.label(marked)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    large = np.flatnonzero(np.bincount(labels.ravel(), minlength=count + 1) >= min_share * labels.size)
    cells = np.isin(labels, [label for label in (*edge, *large) if label > 0])
    if not cells.any() or marked.all():
        return None
    # One more cell on each side: the collar ends somewhere inside it.
    cells = ndimage.binary_dilation(cells, np.ones((3, 3), dtype=np.bool_))
    rows, columns = marked.shape
    return Collar(columns, rows, zlib.compress(np.packbits(cells).tobytes()), value)


def _read_collar(dataset: Any, bands: tuple[int, ...]) -> Collar | None:
    """Return the black collar of an open raster, or None.

    The scene is sampled only if one of its corners is black: a scene that is filled to its four corners has no collar,
    except for notches in its sides, which are ignored.
    """
    corners = [(row, col) for row in (0, dataset.height - 1) for col in (0, dataset.width - 1)]
    if not any(_is_black(dataset, bands, row, col) for row, col in corners):
        return None
    cells = _read_cells(dataset, bands)
    return None if cells is None else detect_collar(~cells[0].any(axis=0) & cells[1])


def _read_cells(dataset: Any, bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """Return one pixel of each of the collar's cells (bands, rows, columns) and which are valid; None if unreadable."""
    shrink = max(1.0, max(dataset.shape) / _SAMPLE_PX)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    return _read_if_possible(dataset, bands, out_shape=(len(bands), *shape))


def _is_black(dataset: Any, bands: tuple[int, ...], row: int, col: int) -> bool:
    sample = _read_if_possible(dataset, bands, window=((row, row + 1), (col, col + 1)))
    return sample is not None and not sample[0].any() and bool(sample[1].any())


def _valid_values(pixels: NDArray[Any], mask: NDArray[np.bool_], has_collar: bool) -> NDArray[Any]:
    """Return the valid pixels of a sample, (bands, N)."""
    return pixels[:, mask & pixels.any(axis=0)] if has_collar else pixels[:, mask]


def _sample(dataset: Any, bands: tuple[int, ...]) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield pixels (bands, height, width) and masks (height, width): one overview, or patches spread over the scene."""
    longer = max(dataset.width, dataset.height)
    factors = [factor for factor in dataset.overviews(bands[0]) if factor > 1 and longer / factor >= _SAMPLE_PX]
    if factors and longer / max(factors) < 8 * _SAMPLE_PX:
        shape = tuple(-(-side // max(factors)) for side in dataset.shape)
        if (overview := _read_if_possible(dataset, bands, out_shape=(len(bands), *shape))) is not None:
            yield overview
            return
    # Many small reads take longer than one.
    if dataset.driver == "GTiff" and longer <= _SAMPLE_PX and (pixels := _read_if_possible(dataset, bands)) is not None:
        yield pixels
        return
    for row in _patch_starts(dataset.height):
        for col in _patch_starts(dataset.width):
            window = ((row, min(row + _PATCH_PX, dataset.height)), (col, min(col + _PATCH_PX, dataset.width)))
            if (patch := _read_if_possible(dataset, bands, window=window)) is not None:
                yield patch


def _patch_starts(length: int) -> list[int]:
    """Return where patches start along one axis, without overlap."""
    count = min(_PATCHES, -(-length // _PATCH_PX))
    return [int(start) for start in np.linspace(0, max(0, length - _PATCH_PX), count)]


def _read_if_possible(
    dataset: Any, bands: tuple[int, ...], **options: Any
) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """Return pixels (bands, height, width) and which are valid (height, width), or None if they cannot be read."""
    try:
        pixels, masks = dataset.read(list(bands), **options), dataset.read_masks(list(bands), **options)
        valid = masks.any(axis=0)
        if (alpha := shadowed_alpha(dataset)) is not None:
            if "out_shape" in options:
                options["out_shape"] = options["out_shape"][1:]
            valid &= dataset.read(alpha, **options) > 0
    except OSError:  # rasterio's read errors are OSErrors
        return None
    return pixels, valid
