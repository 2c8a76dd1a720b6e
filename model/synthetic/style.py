"""What the seed decides for a whole scene: random streams by name, and its light, colours and sensor.

Each part of a scene has its own stream, so one more number drawn in a part leaves the rest of the scene unchanged.
Colours are display values, 0..255, of flat ground in full sun, before haze.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_T = TypeVar("_T")
Colour = tuple[float, float, float]


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator of one named part of a scene.

    Args:
        seed: the scene's seed, 0 or more.
        *names: the name of the part, then what distinguishes it from its siblings, such as a row and a column (integers
            >= 0).
    """
    key = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=tuple(key)))


def pick(options: Sequence[_T], rng: np.random.Generator) -> _T:
    """Return one of the options, each with equal probability."""
    return options[int(rng.integers(len(options)))]


@dataclass(frozen=True, slots=True)
class Light:
    """Directions of the sun and of the sensor.

    Attributes:
        sun: unit vector towards the sun: right, down, up.
        shadow: horizontal displacement of a shadow for each metre of height, scene metres (right, down).
        lean: horizontal displacement of a top for each metre of height, seen off nadir, scene metres (right, down).
        sky: fraction of the light on flat ground that comes from the sky, and so also reaches shaded ground.
    """

    sun: tuple[float, float, float]
    shadow: tuple[float, float]
    lean: tuple[float, float]
    sky: float

    def brightness(self, normals: ArrayLike) -> NDArray[np.float64]:
        """Return the light on surfaces with unit normals (..., 3: right, down, up), relative to flat ground."""
        normal = np.asarray(normals, dtype=np.float64)
        direct = np.maximum(normal @ np.array(self.sun), 0.0) / self.sun[2]
        from_sky = self.sky * (0.5 + 0.5 * normal[..., 2]) + 0.10 * (0.5 - 0.5 * normal[..., 2])
        light: NDArray[np.float64] = from_sky + (1 - self.sky) * direct
        return light

    def project_shadow(self, ring: ArrayLike, height: float) -> NDArray[np.float64]:
        """Return where the shadow of a flat ring (..., 2) at a height in metres falls on the ground."""
        return np.asarray(ring, dtype=np.float64) + np.array(self.shadow) * height

    def displace_top(self, ring: ArrayLike, height: float) -> NDArray[np.float64]:
        """Return where a flat ring (..., 2) at a height in metres appears in the image, scene metres."""
        return np.asarray(ring, dtype=np.float64) + np.array(self.lean) * height


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of the ground, the vegetation and the roofs of a region."""

    grass: Colour
    dry_grass: Colour
    soil: Colour
    concrete: Colour
    asphalt: Colour
    road: Colour
    tree: Colour
    crops: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    house_roofs: tuple[Colour, ...]

    def sample_roof(self, rng: np.random.Generator) -> Colour:
        """Sample the colour of a large flat roof."""
        return pick(self.roofs, rng)


@dataclass(frozen=True, slots=True)
class Sensor:
    """Properties of the sensor and of the image processing.

    Attributes:
        psf_px: standard deviation of the point spread function, pixels.
        sharpening: strength of the provider's sharpening, 0..1.
        noise: standard deviation of the noise at mid grey, grey levels.
        haze: fraction of the light scattered by the atmosphere, 0..1.
        haze_colour: colour of that light.
        gain: factors for red, green and blue.
        contrast: factor around mid grey.
    """

    psf_px: float
    sharpening: float
    noise: float
    haze: float
    haze_colour: Colour
    gain: Colour
    contrast: float


@dataclass(frozen=True, slots=True)
class Style:
    """Light, palette and sensor of one scene."""

    light: Light
    palette: Palette
    sensor: Sensor


_TEMPERATE = Palette(
    grass=(116, 121, 94),
    dry_grass=(142, 136, 108),
    soil=(152, 136, 114),
    concrete=(172, 164, 149),
    asphalt=(124, 122, 117),
    road=(140, 137, 131),
    tree=(60, 72, 52),
    crops=((118, 124, 92), (156, 148, 116), (138, 124, 102), (102, 113, 79), (170, 160, 128), (130, 117, 98)),
    roofs=((222, 220, 213), (242, 240, 235), (184, 180, 172), (158, 155, 149), (204, 197, 183), (138, 141, 146)),
    house_roofs=((150, 118, 102), (132, 106, 94), (128, 124, 120), (164, 136, 116), (146, 140, 132)),
)

_DRY = Palette(
    grass=(160, 147, 120),
    dry_grass=(178, 163, 134),
    soil=(184, 165, 138),
    concrete=(184, 171, 150),
    asphalt=(138, 132, 122),
    road=(154, 146, 133),
    tree=(80, 86, 66),
    crops=((174, 158, 126), (126, 127, 94), (188, 171, 138), (156, 138, 113), (110, 120, 84)),
    roofs=((230, 226, 215), (245, 241, 232), (198, 189, 174), (176, 168, 156), (212, 200, 180)),
    house_roofs=((188, 170, 146), (168, 148, 126), (202, 188, 167), (154, 128, 108)),
)

_GREEN = Palette(
    grass=(93, 108, 80),
    dry_grass=(124, 126, 98),
    soil=(140, 124, 104),
    concrete=(164, 161, 153),
    asphalt=(106, 107, 107),
    road=(128, 127, 125),
    tree=(50, 66, 49),
    crops=((94, 112, 76), (120, 129, 92), (138, 123, 101), (152, 148, 114), (84, 102, 72)),
    roofs=((226, 227, 227), (192, 194, 195), (156, 159, 163), (132, 137, 145), (210, 208, 202)),
    house_roofs=((134, 104, 91), (118, 96, 87), (112, 111, 112), (150, 122, 106)),
)

_RED = Palette(
    grass=(134, 122, 100),
    dry_grass=(150, 131, 108),
    soil=(162, 131, 107),
    concrete=(170, 160, 147),
    asphalt=(126, 120, 115),
    road=(142, 134, 127),
    tree=(66, 76, 56),
    crops=((138, 121, 97), (114, 118, 86), (164, 138, 111), (124, 107, 90), (152, 142, 111)),
    roofs=((222, 216, 208), (241, 238, 232), (186, 177, 168), (162, 152, 142), (132, 140, 156)),
    house_roofs=((166, 126, 104), (148, 110, 94), (178, 154, 132), (134, 122, 112)),
)
_PALETTES = (_TEMPERATE, _DRY, _GREEN, _RED)


def sample_style(seed: int, latitude: float) -> Style:
    """Sample the look of a scene.

    Args:
        seed: the scene's seed.
        latitude: latitude of the scene in degrees, which decides whether the sun stands south or north.
    """
    return Style(_sample_light(seed, latitude), _sample_palette(seed), _sample_sensor(seed))


_SATELLITE_SHARE = 0.7  # the other scenes are aerial images, taken at any time of day


def _sample_light(seed: int, latitude: float) -> Light:
    rng = stream(seed, "light")
    elevation = math.radians(rng.uniform(24, 66))
    if rng.random() < _SATELLITE_SHARE:  # satellites pass in the morning
        azimuth = math.radians(rng.uniform(105, 165) if latitude >= 0 else rng.uniform(15, 75))
    else:
        azimuth = math.radians(rng.uniform(100, 260) if latitude >= 0 else rng.uniform(-80, 80))
    sun = (math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation))
    tilt, towards = math.tan(math.radians(rng.uniform(2, 16))), rng.uniform(0, 2 * math.pi)
    return Light(
        sun=sun,
        shadow=(-sun[0] / sun[2], -sun[1] / sun[2]),
        lean=(tilt * math.cos(towards), tilt * math.sin(towards)),
        sky=rng.uniform(0.32, 0.46),
    )


def _sample_palette(seed: int) -> Palette:
    rng = stream(seed, "palette")
    palette = pick(_PALETTES, rng)

    def vary(colour: Colour, spread: float) -> Colour:
        shifted = np.array(colour) * rng.normal(1.0, spread) * rng.normal(1.0, 0.012, 3)
        return tuple(shifted.tolist())

    return replace(
        palette,
        grass=vary(palette.grass, 0.06),
        dry_grass=vary(palette.dry_grass, 0.05),
        concrete=vary(palette.concrete, 0.04),
        asphalt=vary(palette.asphalt, 0.08),
        road=vary(palette.road, 0.05),
    )


def _sample_sensor(seed: int) -> Sensor:
    rng = stream(seed, "sensor")
    warmth, exposure = rng.normal(0.012, 0.02), rng.uniform(1.0, 1.14)
    return Sensor(
        psf_px=rng.uniform(0.80, 1.05),
        sharpening=rng.uniform(0.25, 0.6),
        noise=rng.uniform(1.2, 2.6),
        haze=rng.uniform(0.02, 0.09),
        haze_colour=(200, 202, 204),
        gain=(exposure * (1 + warmth), exposure, exposure * (1 - warmth)),
        contrast=rng.uniform(0.95, 1.08),
    )
