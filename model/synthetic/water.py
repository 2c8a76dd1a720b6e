"""Water: rivers, ponds, basins. The sun is not mirrored in it."""

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from model.synthetic.place import Place
from model.synthetic.style import Colour
from model.synthetic.world import Material, Tier, World

_WATERS: tuple[Colour, ...] = ((44, 62, 66), (58, 74, 70), (84, 88, 70), (104, 102, 80), (38, 50, 62), (66, 88, 94))


def draw_water(rng: np.random.Generator) -> Colour:
    """Draw the colour of a water: from nearly black to the brown of mud."""
    red, green, blue = np.array(_WATERS[int(rng.integers(len(_WATERS)))]) * rng.uniform(0.85, 1.15)
    return (red, green, blue)


def lay_water(world: World, area: BaseGeometry, colour: Colour, bank: float) -> None:
    """Lay water over the land, scene metres, with a bank of `bank` metres around and deeper water inside."""
    here, tone = Place(0, 0), np.array(colour)
    world.pave_area(here, area.buffer(bank, quad_segs=3), np.array(world.palette.soil) * 0.9, Tier.LAND, Material.SOIL)
    for inwards, light in ((0.0, 1.1), (3.0, 1.03), (9.0, 1.0)):
        world.pave_area(here, area.buffer(-inwards, quad_segs=3), tone * light, Tier.LAND, Material.WATER)


def lay_pond(world: World, middle: Place, radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Lay a pond of about a radius in metres; return points (N, 2) on its bank, scene metres."""
    around = np.arange(0, 2 * np.pi, 0.14)
    uneven = np.ones(len(around))
    for k in (1, 2, 3, 5):
        uneven += rng.uniform(0, 0.22 / k) * np.cos(k * around + rng.uniform(0, 6))
    ring = np.stack([np.cos(around), np.sin(around) * rng.uniform(0.6, 1)], axis=-1) * (radius * uneven)[:, None]
    shore = middle.points(ring)
    lay_water(world, Polygon(shore), draw_water(rng), 1.5)
    return middle.points(ring * (1 + 4 / radius))


def winding(extent: Place, reach: float, rng: np.random.Generator, step: float = 12.0) -> NDArray[np.float64]:
    """Return a gently winding path (N, 2) along a frame's x axis, `reach` metres to each side of its origin."""
    x = np.arange(-reach, reach, step)
    long, short = rng.uniform(500, 900), rng.uniform(200, 320)
    y = rng.uniform(0.02, 0.12) * long * np.sin(2 * np.pi * x / long + rng.uniform(0, 6))
    y += rng.uniform(0, 0.03) * short * np.sin(2 * np.pi * x / short + rng.uniform(0, 6))
    return extent.points(np.stack([x, y], axis=1))


def river(path: NDArray[np.float64], width: float, rng: np.random.Generator) -> Polygon:
    """Return the water of a river of about a width in metres along a path (N, 2)."""
    ahead = np.gradient(path, axis=0)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) / np.hypot(ahead[:, 0], ahead[:, 1])[:, None]
    at = np.arange(len(path))
    half = width / 2 * (1 + 0.2 * np.sin(at / 7 + rng.uniform(0, 6)) + 0.12 * np.sin(at / 3 + rng.uniform(0, 6)))
    left, right = path + side * half[:, None], path - side * half[:, None]
    return Polygon(np.concatenate([left, right[::-1]])).buffer(0)
