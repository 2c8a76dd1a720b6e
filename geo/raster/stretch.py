"""From pixels of any depth to the 8 bits that a detector knows; pure."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.types import ImageArray

_PERCENTILES = (1.0, 99.0, 99.9)
# Where the 1st and the 99th percentile of a stretched scene come to lie. Not at 0 and 255: those of photos that were
# made for the eye lie at 30 to 61 and at 200 to 247 (medians of four sets of airports), and a detector learns from
# such photos.
_DARK, _BRIGHT = 50.0, 235.0
# 8 bits were stretched by whoever made them. Only where next to nothing is brighter than this was it left to us.
_DIM = 64


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values that become 0 and 255, the same for every band, lest colours change. What lies beyond is cut."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"expected finite low < high, got {self.low} and {self.high}")

    def apply(self, pixels: NDArray[Any]) -> ImageArray:
        """Returns pixels of any shape and real type as 8 bits; what is no number is 0."""
        with np.errstate(over="ignore", invalid="ignore"):  # nodata may be as far out as float32 goes
            levels = np.subtract(pixels, np.float32(self.low), dtype=np.float32)
            levels *= np.float32(255 / (self.high - self.low))
        np.nan_to_num(levels, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        return np.asarray(np.rint(levels.clip(0, 255)), dtype=np.uint8)


def find_stretch(values: NDArray[Any]) -> Stretch | None:
    """Returns how a scene becomes 8 bits, from a sample of its valid values; None for 8 bits that stay as they are.

    8 bits stay unless the scene is dim. A scene that uses the range of its bits (the fewest that hold its values) is
    scaled by that range alone, so that one product in 8, 11 and 16 bits looks the same. Any other is stretched by its
    percentiles.

    Args:
        values: (N,) of any real type; what is no number is left out.
    """
    numbers = values[np.isfinite(values)]
    eight = values.dtype == np.uint8
    if not len(numbers):
        return None if eight else Stretch(0.0, 1.0)
    dark, bright, most = (float(value) for value in np.percentile(numbers.astype(np.float64), _PERCENTILES))
    if eight and most >= _DIM:
        return None
    full = _range(most, integer=values.dtype.kind in "iu")
    if not eight and 0 <= dark <= full / 3 and bright >= full * 2 / 3:
        return Stretch(0.0, full)
    return _between(dark, bright, eight)


def _range(most: float, integer: bool) -> float:
    """Returns the largest value of the fewest bits that hold the brightest; for fractions a power of two."""
    if most <= 0:
        return 1.0
    return float(2 ** math.ceil(most).bit_length() - 1) if integer else 2.0 ** math.ceil(math.log2(most))


def _between(dark: float, bright: float, eight: bool) -> Stretch | None:
    """Puts the two percentiles where they belong; a scene of one value becomes one dark grey, 8 bits stay."""
    if bright - dark <= 1e-6 * max(abs(dark), abs(bright), 1e-30):
        return None if eight else Stretch(dark - max(abs(dark), 1.0), dark + 4 * max(abs(dark), 1.0))
    by_level = (bright - dark) / (_BRIGHT - _DARK)
    return Stretch(dark - _DARK * by_level, bright + (255 - _BRIGHT) * by_level)
