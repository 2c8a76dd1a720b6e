"""Rasterization of the polygon layers, cell by cell, with ground texture and sensor effects.

Cells lie on a fixed lattice, and each is painted independently with a margin around it, so the pixels of a scene do not
depend on how it is cut into blocks. The texture is noise over pixel coordinates: wrap-around tiles of different sizes,
whose combination repeats only after kilometres, and a coarse one interpolated between samples 16 pixels apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import correlate1d

from model.synthetic.style import Sensor, Style, stream
from model.synthetic.world import Material, PackedLayer

_COARSE_STEP_PX = 16
CELL_PX = 512
OVERSAMPLING = 4  # subsamples along each side of a pixel
_MARGIN_PX = 12  # more than the radius of the point spread and of the stain blur
_STAIN_SOFTNESS_PX = 2.0
# Amplitudes by material: fine, medium and coarse change the brightness, blotchy changes the colour.
_ROUGHNESS: dict[Material, tuple[float, float, float, float]] = {
    Material.KEEP: (0.0, 0.0, 0.0, 0.0),
    Material.GRASS: (0.040, 0.050, 0.050, 0.030),
    Material.CONCRETE: (0.012, 0.020, 0.034, 0.010),
    Material.ASPHALT: (0.014, 0.026, 0.050, 0.006),
    Material.FIELD: (0.030, 0.045, 0.040, 0.022),
    Material.SOIL: (0.035, 0.060, 0.050, 0.022),
    Material.WATER: (0.022, 0.020, 0.045, 0.012),
}
_WEIGHTS = np.array([_ROUGHNESS[material] for material in Material], dtype=np.float32).T.copy()  # (4, materials)
_BLOTCH_DIRECTION = np.array([0.9, 0.25, -0.35], dtype=np.float32)  # red, green, blue: towards dry and brown
_NOISE_NEIGHBOUR = 0.3  # weight of each neighbouring pixel in the noise kernel
_NOISE_TILE_PX = 1024
_SHADE_TINT = np.array([0.94, 1.0, 1.10], dtype=np.float32)[:, None, None]
Planes = NDArray[np.float32]  # (3, height, width): red, green, blue


@dataclass(frozen=True, slots=True)
class Textures:
    """Wrap-around noise tiles, each float32 with mean 0 and standard deviation 1.

    Attributes:
        fine: variation over one to three pixels.
        medium: variation over a few to a hundred pixels.
        blotchy: like `medium`, with another size and seed, for changes of colour.
        coarse: variation over hundreds of pixels, one sample every 16 pixels.
    """

    fine: NDArray[np.float32]
    medium: NDArray[np.float32]
    blotchy: NDArray[np.float32]
    coarse: NDArray[np.float32]

    def at(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """Return the fields (4, height, width) over the pixels from (x, y): fine, medium, coarse, blotchy."""
        fine, medium, blotchy = (_wrapped(tile, x, y, width, height) for tile in (self.fine, self.medium, self.blotchy))
        return np.stack([fine, medium, _stretched(self.coarse, x, y, width, height), blotchy])


def make_textures(seed: int) -> Textures:
    """Generate the noise tiles of a scene."""
    return Textures(
        fine=_fractal(stream(seed, "texture", "fine"), 640, slope=0.5, longest_px=8),
        medium=_fractal(stream(seed, "texture", "medium"), 1024, slope=1.1, longest_px=220),
        blotchy=_fractal(stream(seed, "texture", "blotchy"), 832, slope=1.5, longest_px=300),
        coarse=_fractal(stream(seed, "texture", "coarse"), 512, slope=1.6, longest_px=160),
    )


def _fractal(rng: np.random.Generator, size: int, slope: float, longest_px: float) -> NDArray[np.float32]:
    """Return noise whose amplitude falls with frequency to the power of -slope, flat for waves above `longest_px`."""
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
    """Interpolate bilinearly between samples `_COARSE_STEP_PX` apart."""
    (row, down), (column, right) = _between(y, height), _between(x, width)
    part = _wrapped(tile, x // _COARSE_STEP_PX, y // _COARSE_STEP_PX, int(column[-1]) + 2, int(row[-1]) + 2)
    tall = part[row] + (part[row + 1] - part[row]) * down[:, None]
    return tall[:, column] + (tall[:, column + 1] - tall[:, column]) * right


def _between(first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each pixel's preceding sample, relative to that of pixel `first`, and the fraction 0..1 to the next."""
    at = np.arange(first, first + count) - first // _COARSE_STEP_PX * _COARSE_STEP_PX
    return at // _COARSE_STEP_PX, (at % _COARSE_STEP_PX / _COARSE_STEP_PX).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Painting:
    """Everything needed to paint any cell of a scene: layers on the subsample grid, style, noise tiles."""

    seed: int
    style: Style
    textures: Textures
    grain: Planes
    ground: PackedLayer
    stains: PackedLayer
    shadows: PackedLayer
    objects: PackedLayer


def paint_cell(painting: Painting, row: int, column: int) -> NDArray[np.uint8]:
    """Paint the cell in a row and column of the lattice.

    Returns:
        uint8 (CELL_PX, CELL_PX, 3), red, green, blue. Its first pixel is the scene's pixel (column, row) * CELL_PX.
    """
    view = _View(column * CELL_PX - _MARGIN_PX, row * CELL_PX - _MARGIN_PX, CELL_PX + 2 * _MARGIN_PX)
    image = _ground(painting, view)
    image *= _sunlight(painting, view)
    _composite_objects(image, painting, view)
    recorded = _apply_sensor(image, painting.style.sensor)[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    grain = _grain(painting, row, column) * painting.style.sensor.noise
    grain *= np.sqrt(np.maximum(recorded[1], 16) / 128)
    return np.ascontiguousarray(np.clip(np.rint(recorded + grain), 0, 255).astype(np.uint8).transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class _View:
    """A square of pixels: its upper left corner in scene pixels, and its size."""

    x: int
    y: int
    size: int

    def draw(
        self, canvas: Image.Image, layer: PackedLayer, mode: str | None = None, only_band: int | None = None
    ) -> None:
        """Fill a layer's rings on a canvas, whose size determines the number of subsamples per pixel.

        Args:
            canvas: the image, with as many bands as the values (one band with `only_band`).
            layer: the rings.
            mode: ImageDraw's mode: "RGBA" on an RGB canvas blends colours by their opacity.
            only_band: draw only this band of the values, and skip the rings where it is 0.
        """
        fill = ImageDraw.Draw(canvas, mode).polygon
        shrink = OVERSAMPLING * self.size // canvas.width
        corner, end = np.array([self.x, self.y]) * OVERSAMPLING, np.array([self.x, self.y]) * OVERSAMPLING
        end = end + self.size * OVERSAMPLING
        bands = len(canvas.getbands()) if mode is None else len(mode)
        for k in layer.intersecting(int(corner[0]), int(corner[1]), int(end[0]), int(end[1])):
            value = layer.values[k].tolist()
            if only_band is not None and not value[only_band]:
                continue
            points = (layer.points[layer.starts[k] : layer.starts[k + 1]] - corner) // shrink
            colour = tuple(value[:bands]) if only_band is None else value[only_band]
            fill(points.ravel().tolist(), fill=colour)


def _planes(image: Image.Image) -> NDArray[np.float32]:
    """Return the bands of an image (height, width, bands) as float32 (bands, height, width)."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).astype(np.float32)


def _ground(painting: Painting, view: _View) -> Planes:
    """Paint the ground in full sun, with texture and stains."""
    grass = tuple(round(part) for part in painting.style.palette.grass)
    canvas = Image.new("RGB", (view.size * OVERSAMPLING,) * 2, grass)
    view.draw(canvas, painting.ground)
    materials = Image.new("L", (view.size, view.size), int(Material.GRASS))
    view.draw(materials, painting.ground, only_band=3)
    stains = Image.new("RGB", (view.size, view.size), (128, 128, 128))
    view.draw(stains, painting.stains, mode="RGBA")
    soft = stains.filter(ImageFilter.GaussianBlur(_STAIN_SOFTNESS_PX))
    ground = _planes(canvas.reduce(OVERSAMPLING))
    ground *= _planes(soft) / 128
    _apply_texture(ground, painting.textures.at(view.x, view.y, view.size, view.size), np.asarray(materials))
    return ground


def _apply_texture(ground: Planes, fields: NDArray[np.float32], materials: NDArray[np.uint8]) -> None:
    """Modulate the ground in place by noise fields (4, height, width), weighted by its materials (height, width)."""
    fine, medium, coarse, blotches = (_WEIGHTS[k][materials] * field for k, field in enumerate(fields))
    fine += medium
    fine += coarse
    fine += 1
    for band, part in zip(ground, _BLOTCH_DIRECTION, strict=True):
        band *= fine
        band *= 1 + part * blotches


def _sunlight(painting: Painting, view: _View) -> Planes:
    """Return the fraction of light (3, size, size) that reaches the ground; shade is slightly blue."""
    canvas = Image.new("L", (view.size * OVERSAMPLING,) * 2, 0)
    view.draw(canvas, painting.shadows)
    shade = np.asarray(canvas.reduce(OVERSAMPLING)).astype(np.float32) / 255
    return 1 - shade * (1 - np.float32(painting.style.light.sky) * _SHADE_TINT)


def _composite_objects(image: Planes, painting: Painting, view: _View) -> None:
    """Composite the objects over the image, in place."""
    # Four plain bands: averaging opaque colours over zeros premultiplies them, which RGBA would undo.
    canvas = Image.new("CMYK", (view.size * OVERSAMPLING,) * 2, (0, 0, 0, 0))
    view.draw(canvas, painting.objects)
    layer = _planes(canvas.reduce(OVERSAMPLING))
    image *= 1 - layer[3] / 255
    image += layer[:3]


def _apply_sensor(image: Planes, sensor: Sensor) -> Planes:
    """Apply point spread, haze, contrast and gain: 0..255 and slightly beyond."""
    kernel = _point_spread(sensor)
    for axis in (1, 2):
        image = correlate1d(image, kernel, axis=axis, mode="nearest")
    # Haze, contrast around mid grey and gain combine into one factor and one offset per band.
    gain = np.array(sensor.gain)
    factor = (1 - sensor.haze) * sensor.contrast * gain
    offset = ((np.array(sensor.haze_colour) * sensor.haze - 128) * sensor.contrast + 128) * gain
    image *= factor.astype(np.float32)[:, None, None]
    image += offset.astype(np.float32)[:, None, None]
    return image


def _point_spread(sensor: Sensor) -> NDArray[np.float32]:
    """Return one axis of the point spread function, including the dark halos of sharpening around bright objects."""
    offsets = np.arange(-5, 6)
    narrow, wide = (np.exp(-0.5 * (offsets / spread) ** 2) for spread in (sensor.psf_px, 1.9 * sensor.psf_px))
    kernel = (1 + sensor.sharpening) * narrow / narrow.sum() - sensor.sharpening * wide / wide.sum()
    normalized: NDArray[np.float32] = np.divide(kernel, kernel.sum()).astype(np.float32)
    return normalized


def make_grain(seed: int) -> Planes:
    """Generate the noise tile: slightly soft, mostly common to the bands, standard deviation 1."""
    grain = stream(seed, "grain").standard_normal((4, _NOISE_TILE_PX, _NOISE_TILE_PX), dtype=np.float32)
    mixed = 0.8 * grain[3] + 0.6 * grain[:3]
    kernel = np.array([_NOISE_NEIGHBOUR, 1.0, _NOISE_NEIGHBOUR], dtype=np.float32)
    for axis in (1, 2):
        mixed = correlate1d(mixed, kernel, axis=axis, mode="wrap")
    mixed /= mixed.std()
    return np.asarray(mixed, dtype=np.float32)


def _grain(painting: Painting, row: int, column: int) -> Planes:
    """Return a cell's own crop of the noise tile: at a random offset, rotated by a random multiple of 90 degrees."""
    rng = stream(painting.seed, "noise", row, column)
    x, y, quarter_turns = (int(part) for part in rng.integers((_NOISE_TILE_PX - CELL_PX, _NOISE_TILE_PX - CELL_PX, 4)))
    cut = painting.grain[:, y : y + CELL_PX, x : x + CELL_PX]
    return np.rot90(cut, quarter_turns, axes=(1, 2)).copy()
