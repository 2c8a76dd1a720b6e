"""How the values of a file become red, green and blue of 8 bits: decided once for a scene, the same for every tile."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.errors import RasterError
from geo.raster.bands import choose_bands
from geo.raster.collar import Collar, find_collar
from geo.raster.stretch import Stretch, find_stretch

# An overview of at least this many pixels on its longer side tells enough of a scene, and so do so many cells of it.
_SAMPLE_PX = 512
# Without overviews, a sample of the pixels: so many patches along each axis.
_PATCHES, _PATCH_PX = 8, 64


@dataclass(frozen=True, slots=True)
class Rendition:
    """How the values of a file become red, green and blue of 8 bits.

    Args:
        bands: Which bands are read, counted from 1: red, green and blue, or one that is grey.
        stretch: Which values become 0 and 255; None for 8 bits that stay as they are.
        collar: Where black is missing; None where it is black.
    """

    bands: tuple[int, ...]
    stretch: Stretch | None
    collar: Collar | None


def bands_of(dataset: Any, told: tuple[int, ...] | None) -> tuple[int, ...]:
    """Returns the bands to read of an open raster; looks at no pixel.

    Raises:
        RasterError: There are no such bands, or their values are no grey and no colours.
    """
    bands = choose_bands([colour.name for colour in dataset.colorinterp], told)
    kinds = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(kinds) > 1 or "complex" in kinds[0]:
        raise RasterError(
            f"expected real numbers of one type in the bands {list(bands)}, got {', '.join(kinds)}: "
            "convert them, e.g. with gdal_translate -ot UInt16"
        )
    return bands


def rendition_of(dataset: Any, told: tuple[int, ...] | None) -> Rendition:
    """Looks at a bounded part of an open raster. Pixels that cannot be read are left out: their tiles will tell.

    Raises:
        RasterError: as for `bands_of`.
    """
    bands = bands_of(dataset, told)
    collar = _collar(dataset, bands)
    values = [_valid_values(pixels, masks, collar is not None) for pixels, masks in _sample(dataset, bands)]
    kind = dataset.dtypes[bands[0] - 1]
    return Rendition(bands, find_stretch(np.concatenate([np.empty(0, kind), *values])), collar)


def _valid_values(pixels: NDArray[Any], masks: NDArray[np.uint8], collar: bool) -> NDArray[Any]:
    valid = masks > 0
    if collar:
        valid &= pixels.any(axis=0)
    return pixels[valid]


def _sample(dataset: Any, bands: tuple[int, ...]) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
    """Yields pixels and masks, (bands, height, width) each: an overview, or patches of the scene."""
    sides = max(dataset.width, dataset.height)
    factors = [factor for factor in dataset.overviews(bands[0]) if factor > 1 and sides / factor >= _SAMPLE_PX]
    if factors and sides / max(factors) < 8 * _SAMPLE_PX:
        shape = tuple(-(-side // max(factors)) for side in dataset.shape)
        if (overview := _looked_at(dataset, bands, out_shape=(len(bands), *shape))) is not None:
            yield overview
            return
    for row in _starts(dataset.height):
        for col in _starts(dataset.width):
            window = ((row, min(row + _PATCH_PX, dataset.height)), (col, min(col + _PATCH_PX, dataset.width)))
            if (patch := _looked_at(dataset, bands, window=window)) is not None:
                yield patch


def _starts(length: int) -> list[int]:
    """Returns where patches start along one axis, without overlap."""
    count = min(_PATCHES, -(-length // _PATCH_PX))
    return [int(start) for start in np.linspace(0, max(0, length - _PATCH_PX), count)]


def _looked_at(dataset: Any, bands: tuple[int, ...], **what: Any) -> tuple[NDArray[Any], NDArray[np.uint8]] | None:
    """Returns pixels and masks, or None where they cannot be read."""
    try:
        return dataset.read(list(bands), **what), dataset.read_masks(list(bands), **what)
    except OSError:  # rasterio's error of a failed read is one
        return None


def _collar(dataset: Any, bands: tuple[int, ...]) -> Collar | None:
    """Returns the black border.

    The whole scene is looked at only where one of its corners is black: what fills a rectangle to its four corners has
    no border, save for bites out of its sides, and these are left as they are.
    """
    if not any(
        _is_black(dataset, bands, row, col) for row in (0, dataset.height - 1) for col in (0, dataset.width - 1)
    ):
        return None
    shrink = max(1.0, max(dataset.shape) / _SAMPLE_PX)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    seen = _looked_at(dataset, bands, out_shape=(len(bands), *shape))
    return find_collar(np.logical_and(~seen[0].any(axis=0), seen[1].any(axis=0))) if seen is not None else None


def _is_black(dataset: Any, bands: tuple[int, ...], row: int, col: int) -> bool:
    seen = _looked_at(dataset, bands, window=((row, row + 1), (col, col + 1)))
    return seen is not None and not seen[0].any() and bool(seen[1].any())
