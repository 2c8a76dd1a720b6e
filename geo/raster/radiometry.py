"""Conversion of a file's pixel values to 8-bit RGB: band selection, display stretch, black collar.

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


@dataclass(frozen=True, slots=True)
class Stretch:
    """Linear display stretch: the values that become 0 and 255, clipped outside.

    One for all bands, so that hues are preserved.

    Raises:
        ValueError: The values are not finite, or `low` is not below `high`.
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
    """Mask of a scene's black border, in coarse cells that cover the scene. Black pixels in these cells are nodata.

    Black elsewhere (shadow, dark water) is ground.

    Args:
        columns: Cells along a row.
        rows: Cells along a column.
        packed: The compressed mask, small enough to be sent with every chunk of tiles.
    """

    columns: int
    rows: int
    packed: bytes

    def covers(self, x: FloatArray, y: FloatArray) -> NDArray[np.bool_]:
        """Return the mask (len(y), len(x)) at these positions, given as fractions 0..1 of the scene's width, height."""
        bits = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        cells = np.unpackbits(bits, count=self.rows * self.columns).reshape(self.rows, self.columns).astype(np.bool_)
        columns = np.clip((x * self.columns).astype(np.int64), 0, self.columns - 1)
        rows = np.clip((y * self.rows).astype(np.int64), 0, self.rows - 1)
        return cells[np.ix_(rows, columns)]


@dataclass(frozen=True, slots=True)
class Radiometry:
    """How the values of a file become 8-bit RGB.

    Args:
        bands: The bands to read, 1-based: red, green and blue, or a single grey band.
        stretch: The display stretch; None for 8-bit values that are used unchanged.
        collar: Where black is nodata; None if the scene has no black border.
    """

    bands: tuple[int, ...]
    stretch: Stretch | None
    collar: Collar | None


def read_radiometry(dataset: Any, requested: tuple[int, ...] | None) -> Radiometry:
    """Derive the radiometry of an open raster from a bounded sample of its pixels.

    Unreadable parts are left out of the sample: reading their tiles will report them.

    Args:
        dataset: The raster.
        requested: As for `select_bands`.

    Raises:
        RasterError: As for `select_bands`.
    """
    bands = select_bands(dataset, requested)
    collar = _read_collar(dataset, bands)
    values = [_valid_values(pixels, masks, collar is not None) for pixels, masks in _sample(dataset, bands)]
    dtype = dataset.dtypes[bands[0] - 1]
    return Radiometry(bands, estimate_stretch(np.concatenate([np.empty(0, dtype), *values])), collar)


def select_bands(dataset: Any, requested: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the bands of an open raster to read, 1-based; reads no pixels.

    Raises:
        RasterError: There are no such bands, or they do not hold grey or colour values of one real type.
    """
    bands = choose_bands([interpretation.name for interpretation in dataset.colorinterp], requested)
    dtypes = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(dtypes) > 1 or "complex" in dtypes[0]:
        raise RasterError(
            f"expected real numbers of one type in the bands {list(bands)}, got {', '.join(dtypes)}: "
            "convert them, e.g. with gdal_translate -ot UInt16"
        )
    return bands


def choose_bands(colours: Sequence[str], requested: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the bands to read, 1-based: red, green and blue, or a single grey band.

    These are the requested bands; else those with red, green and blue as colour interpretation; else the first three
    bands that are not alpha, or the only one.

    Args:
        colours: Colour interpretation of each band: red, green, blue, gray, undefined, alpha, palette ...
        requested: One band or three, 1-based; None to choose by colour interpretation.

    Raises:
        RasterError: There are no such bands, or they do not hold grey or colour values.
    """
    bands = _bands_by_colour(colours) if requested is None else requested
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


def _bands_by_colour(colours: Sequence[str]) -> tuple[int, ...]:
    if all(colour in colours for colour in _RGB):
        return tuple(colours.index(colour) + 1 for colour in _RGB)
    opaque = [number for number, colour in enumerate(colours, start=1) if colour != "alpha"]
    if len(opaque) in (0, 2):
        raise RasterError(
            f"expected 1 band (grey) or at least 3 (red, green, blue), got {len(opaque)}: "
            "choose bands, e.g. with gdal_translate -b 1"
        )
    return tuple(opaque[:3]) if len(opaque) > 2 else (opaque[0],)


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


def detect_collar(black: NDArray[np.bool_]) -> Collar | None:
    """Return the black region connected to the scene's border; None if there is none, or if the scene is all black.

    Args:
        black: (rows, columns), for each cell whether its sample is valid and 0 in every band.
    """
    from scipy import ndimage  # slow to import, and few scenes have a collar

    labels, _ = ndimage.label(black)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cells = np.isin(labels, edge[edge > 0])
    if not cells.any() or black.all():
        return None
    # One more cell on each side: the collar ends somewhere inside it.
    cells = ndimage.binary_dilation(cells, np.ones((3, 3), dtype=np.bool_))
    rows, columns = black.shape
    return Collar(columns, rows, zlib.compress(np.packbits(cells).tobytes()))


def _read_collar(dataset: Any, bands: tuple[int, ...]) -> Collar | None:
    """Return the collar of an open raster, or None.

    The scene is sampled only if one of its corners is black: a scene that is filled to its four corners has no collar,
    except for notches in its sides, which are ignored.
    """
    corners = [(row, col) for row in (0, dataset.height - 1) for col in (0, dataset.width - 1)]
    if not any(_is_black(dataset, bands, row, col) for row, col in corners):
        return None
    shrink = max(1.0, max(dataset.shape) / _SAMPLE_PX)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    sample = _read_if_possible(dataset, bands, out_shape=(len(bands), *shape))
    if sample is None:
        return None
    pixels, masks = sample
    return detect_collar(np.logical_and(~pixels.any(axis=0), masks.any(axis=0)))


def _is_black(dataset: Any, bands: tuple[int, ...], row: int, col: int) -> bool:
    sample = _read_if_possible(dataset, bands, window=((row, row + 1), (col, col + 1)))
    return sample is not None and not sample[0].any() and bool(sample[1].any())


def _valid_values(pixels: NDArray[Any], masks: NDArray[np.uint8], has_collar: bool) -> NDArray[Any]:
    valid = masks > 0
    if has_collar:
        valid &= pixels.any(axis=0)
    return pixels[valid]


def _sample(dataset: Any, bands: tuple[int, ...]) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
    """Yield pixels and masks, (bands, height, width) each: one overview, or patches spread over the scene."""
    longer = max(dataset.width, dataset.height)
    factors = [factor for factor in dataset.overviews(bands[0]) if factor > 1 and longer / factor >= _SAMPLE_PX]
    if factors and longer / max(factors) < 8 * _SAMPLE_PX:
        shape = tuple(-(-side // max(factors)) for side in dataset.shape)
        if (overview := _read_if_possible(dataset, bands, out_shape=(len(bands), *shape))) is not None:
            yield overview
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
) -> tuple[NDArray[Any], NDArray[np.uint8]] | None:
    """Return pixels and masks, or None if they cannot be read."""
    try:
        return dataset.read(list(bands), **options), dataset.read_masks(list(bands), **options)
    except OSError:  # rasterio's read errors are OSErrors
        return None
