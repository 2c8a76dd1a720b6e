"""Natural unevenness: noise without a period that shows, the same wherever a block is cut.

Fields over pixel coordinates: wrap-around tiles of different sizes, which together repeat only after kilometres, and a
coarse one stretched over many pixels.

Turns a sheet of polygons into pixels, one cell at a time.

Cells lie on a fixed lattice, and each is painted alone with a margin around it: however a scene is cut into blocks, its
pixels are the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import correlate1d

from model.synthetic.streams import stream
from model.synthetic.style import Sensor, Style
from model.synthetic.world import Material, PackedLayer

_COARSE_STEP_PX = 16
CELL_PX = 512
OVERSAMPLING = 4  # subsamples along each side of a pixel
_MARGIN_PX = 12  # more than the reach of the point spread and of the stains' softness
_STAIN_SOFTNESS_PX = 2.0
# By Material: how much the fine, medium and coarse fields change brightness, and the blotchy one the colour.
_UNEVEN: dict[Material, tuple[float, float, float, float]] = {
    Material.KEEP: (0.0, 0.0, 0.0, 0.0),
    Material.GRASS: (0.040, 0.050, 0.050, 0.030),
    Material.CONCRETE: (0.012, 0.020, 0.034, 0.010),
    Material.ASPHALT: (0.014, 0.026, 0.050, 0.006),
    Material.FIELD: (0.030, 0.045, 0.040, 0.022),
    Material.SOIL: (0.035, 0.060, 0.050, 0.022),
    Material.WATER: (0.022, 0.020, 0.045, 0.012),
}
_WEIGHTS = np.array([_UNEVEN[material] for material in Material], dtype=np.float32).T.copy()  # (4, materials)
_BLOTCH_DIRECTION = np.array([0.9, 0.25, -0.35], dtype=np.float32)  # towards dry and brown
_NOISE_NEIGHBOUR = 0.3  # weight of each neighbouring pixel in the softness of the noise
_NOISE_TILE_PX = 1024
_SHADE_TINT = np.array([0.94, 1.0, 1.10], dtype=np.float32)[:, None, None]
Planes = NDArray[np.float32]  # (3, height, width): red, green, blue


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


@dataclass(frozen=True, slots=True)
class Painting:
    """All that is needed to paint any cell of a scene: the layers on the subsample grid, and how it looks."""

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
    sheet = _Sheet(column * CELL_PX - _MARGIN_PX, row * CELL_PX - _MARGIN_PX, CELL_PX + 2 * _MARGIN_PX)
    picture = _ground(painting, sheet)
    picture *= _sunlight(painting, sheet)
    _lay_over(picture, painting, sheet)
    seen = _see(picture, painting.style.sensor)[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    grain = _grain(painting, row, column) * painting.style.sensor.noise
    grain *= np.sqrt(np.maximum(seen[1], 16) / 128)
    return np.ascontiguousarray(np.clip(np.rint(seen + grain), 0, 255).astype(np.uint8).transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A square of pixels: its upper left corner in scene pixels, and its size."""

    x: int
    y: int
    size: int

    def draw(
        self, canvas: Image.Image, layer: PackedLayer, mode: str | None = None, only_band: int | None = None
    ) -> None:
        """Fill a layer's rings on a canvas; its size says how many subsamples a pixel has.

        Args:
            canvas: The image, with as many bands as the values have (one, for `only_band`).
            layer: The rings.
            mode: ImageDraw's mode: "RGBA" on an RGB canvas lays colours over by their opacity.
            only_band: Draw this band of the values alone, and leave out the rings where it is 0.
        """
        fill = ImageDraw.Draw(canvas, mode).polygon
        shrink = OVERSAMPLING * self.size // canvas.width
        corner, end = np.array([self.x, self.y]) * OVERSAMPLING, np.array([self.x, self.y]) * OVERSAMPLING
        end = end + self.size * OVERSAMPLING
        bands = len(canvas.getbands()) if mode is None else len(mode)
        for k in layer.touching(int(corner[0]), int(corner[1]), int(end[0]), int(end[1])):
            value = layer.values[k].tolist()
            if only_band is not None and not value[only_band]:
                continue
            points = (layer.points[layer.starts[k] : layer.starts[k + 1]] - corner) // shrink
            colour = tuple(value[:bands]) if only_band is None else value[only_band]
            fill(points.ravel().tolist(), fill=colour)


def _planes(image: Image.Image) -> NDArray[np.float32]:
    """The bands of an image (height, width, bands) as float32 (bands, height, width)."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).astype(np.float32)


def _ground(painting: Painting, sheet: _Sheet) -> Planes:
    """The ground in full sun, uneven and stained."""
    grass = tuple(round(part) for part in painting.style.palette.grass)
    canvas = Image.new("RGB", (sheet.size * OVERSAMPLING,) * 2, grass)
    sheet.draw(canvas, painting.ground)
    materials = Image.new("L", (sheet.size, sheet.size), int(Material.GRASS))
    sheet.draw(materials, painting.ground, only_band=3)
    stains = Image.new("RGB", (sheet.size, sheet.size), (128, 128, 128))
    sheet.draw(stains, painting.stains, mode="RGBA")
    soft = stains.filter(ImageFilter.GaussianBlur(_STAIN_SOFTNESS_PX))
    ground = _planes(canvas.reduce(OVERSAMPLING))
    ground *= _planes(soft) / 128
    _roughen(ground, painting.textures.at(sheet.x, sheet.y, sheet.size, sheet.size), np.asarray(materials))
    return ground


def _roughen(ground: Planes, fields: NDArray[np.float32], materials: NDArray[np.uint8]) -> None:
    """Make the ground as uneven as its materials (height, width) are, by four fields (4, height, width); in place."""
    fine, medium, coarse, blotches = (_WEIGHTS[k][materials] * field for k, field in enumerate(fields))
    fine += medium
    fine += coarse
    fine += 1
    for band, part in zip(ground, _BLOTCH_DIRECTION, strict=True):
        band *= fine
        band *= 1 + part * blotches


def _sunlight(painting: Painting, sheet: _Sheet) -> Planes:
    """Factors (3, size, size) of the light that reaches the ground; shade is a little blue."""
    canvas = Image.new("L", (sheet.size * OVERSAMPLING,) * 2, 0)
    sheet.draw(canvas, painting.shadows)
    shade = np.asarray(canvas.reduce(OVERSAMPLING)).astype(np.float32) / 255
    return 1 - shade * (1 - np.float32(painting.style.light.sky) * _SHADE_TINT)


def _lay_over(picture: Planes, painting: Painting, sheet: _Sheet) -> None:
    """Lay what stands on the ground over the picture, in place."""
    # Four plain bands: opaque colours on zeros average to premultiplied ones, which RGBA would undo at some cost.
    canvas = Image.new("CMYK", (sheet.size * OVERSAMPLING,) * 2, (0, 0, 0, 0))
    sheet.draw(canvas, painting.objects)
    layer = _planes(canvas.reduce(OVERSAMPLING))
    picture *= 1 - layer[3] / 255
    picture += layer[:3]


def _see(picture: Planes, sensor: Sensor) -> Planes:
    """What the sensor makes of the light: 0..255 and a little beyond."""
    kernel = _point_spread(sensor)
    for axis in (1, 2):
        picture = correlate1d(picture, kernel, axis=axis, mode="nearest")
    # Haze, contrast around mid grey and the bands' gains are one factor and one addend for each band.
    gain = np.array(sensor.gain)
    factor = (1 - sensor.haze) * sensor.contrast * gain
    addend = ((np.array(sensor.haze_colour) * sensor.haze - 128) * sensor.contrast + 128) * gain
    picture *= factor.astype(np.float32)[:, None, None]
    picture += addend.astype(np.float32)[:, None, None]
    return picture


def _point_spread(sensor: Sensor) -> NDArray[np.float32]:
    """One axis of the point spread, with the dark rims that a publisher's sharpening leaves around bright things."""
    offsets = np.arange(-5, 6)
    narrow, wide = (np.exp(-0.5 * (offsets / spread) ** 2) for spread in (sensor.psf_px, 1.9 * sensor.psf_px))
    kernel = (1 + sensor.sharpening) * narrow / narrow.sum() - sensor.sharpening * wide / wide.sum()
    whole: NDArray[np.float32] = np.divide(kernel, kernel.sum()).astype(np.float32)
    return whole


def draw_grain(seed: int) -> Planes:
    """Draw the tile of noise that cells cut their own from: a little soft, mostly common to the bands, deviation 1."""
    grain = stream(seed, "grain").standard_normal((4, _NOISE_TILE_PX, _NOISE_TILE_PX), dtype=np.float32)
    mixed = 0.8 * grain[3] + 0.6 * grain[:3]
    kernel = np.array([_NOISE_NEIGHBOUR, 1.0, _NOISE_NEIGHBOUR], dtype=np.float32)
    for axis in (1, 2):
        mixed = correlate1d(mixed, kernel, axis=axis, mode="wrap")
    mixed /= mixed.std()
    return np.asarray(mixed, dtype=np.float32)


def _grain(painting: Painting, row: int, column: int) -> Planes:
    """A cell's own cut of the noise: another place of the tile, turned another way."""
    rng = stream(painting.seed, "noise", row, column)
    x, y, way = (int(part) for part in rng.integers((_NOISE_TILE_PX - CELL_PX, _NOISE_TILE_PX - CELL_PX, 4)))
    cut = painting.grain[:, y : y + CELL_PX, x : x + CELL_PX]
    return np.rot90(cut, way, axes=(1, 2)).copy()
