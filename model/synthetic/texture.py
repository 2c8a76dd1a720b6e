"""Natural unevenness: noise without a period that shows, the same wherever a block is cut.

Fields over pixel coordinates: wrap-around tiles of different sizes, which together repeat only after kilometres, and a
coarse one stretched over many pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.synthetic.streams import stream

_COARSE_STEP_PX = 16


@dataclass(frozen=True, slots=True)
class Textures:
    """Wrap-around noise tiles, each float32 with mean 0 and standard deviation 1.

    Attributes:
        fine: Unevenness of a pixel or three.
        medium: Patches of a few to a hundred pixels.
        blotchy: The same, of another size and seed, for changes of colour.
        coarse: Patches of hundreds of pixels, one sample every 16 pixels.
    """

    fine: NDArray[np.float32]
    medium: NDArray[np.float32]
    blotchy: NDArray[np.float32]
    coarse: NDArray[np.float32]

    def at(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """Return the fields (4, height, width) over the pixels from (x, y): fine, medium, coarse, blotchy."""
        fine, medium, blotchy = (_wrapped(tile, x, y, width, height) for tile in (self.fine, self.medium, self.blotchy))
        return np.stack([fine, medium, _stretched(self.coarse, x, y, width, height), blotchy])


def draw_textures(seed: int) -> Textures:
    """Draw the noise tiles of a scene."""
    return Textures(
        fine=_fractal(stream(seed, "texture", "fine"), 640, slope=0.5, longest_px=8),
        medium=_fractal(stream(seed, "texture", "medium"), 1024, slope=1.1, longest_px=220),
        blotchy=_fractal(stream(seed, "texture", "blotchy"), 832, slope=1.5, longest_px=300),
        coarse=_fractal(stream(seed, "texture", "coarse"), 512, slope=1.6, longest_px=160),
    )


def _fractal(rng: np.random.Generator, size: int, slope: float, longest_px: float) -> NDArray[np.float32]:
    """Noise whose amplitude falls with frequency to the power of -slope, flat for waves longer than `longest_px`."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    spectrum *= np.maximum(frequency, 1 / longest_px) ** -slope
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(size, size))
    scaled: NDArray[np.float32] = (noise / noise.std()).astype(np.float32)
    return scaled


def _wrapped(tile: NDArray[np.float32], x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
    size = len(tile)
    return tile[np.ix_(np.arange(y, y + height) % size, np.arange(x, x + width) % size)]


def _stretched(tile: NDArray[np.float32], x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
    """Interpolate between samples `_COARSE_STEP_PX` apart."""
    (row, down), (column, right) = _between(y, height), _between(x, width)
    part = _wrapped(tile, x // _COARSE_STEP_PX, y // _COARSE_STEP_PX, int(column[-1]) + 2, int(row[-1]) + 2)
    tall = part[row] + (part[row + 1] - part[row]) * down[:, None]
    return tall[:, column] + (tall[:, column + 1] - tall[:, column]) * right


def _between(first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The sample before each pixel, counted from the one before pixel `first`, and how far after it that lies, 0..1."""
    at = np.arange(first, first + count) - first // _COARSE_STEP_PX * _COARSE_STEP_PX
    return at // _COARSE_STEP_PX, (at % _COARSE_STEP_PX / _COARSE_STEP_PX).astype(np.float32)
