"""A patchwork of parcels over land of any outline, and how what fills a parcel stays on that land.

Water: rivers, ponds, basins. The sun is not mirrored in it.

Scenes without an airport: open country. Nothing in them is an airplane.

The land is cut by winding lines (rivers, roads, rails) into zones, and each zone has a frame of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import LineString, Polygon, contains_properly, contains_xy, prepare, unary_union
from shapely.geometry.base import BaseGeometry
from shapely.ops import split

from model.synthetic.geometry import Place, centred, rectangle
from model.synthetic.style import Colour
from model.synthetic.world import Material, Tier, World

Size = tuple[float, float]
Lines = NDArray[np.float64]
_WATERS: tuple[Colour, ...] = ((44, 62, 66), (58, 74, 70), (84, 88, 70), (104, 102, 80), (38, 50, 62), (66, 88, 94))
_OUTSIDE_M = 60.0  # land goes on so far outside the scene


@dataclass(frozen=True, slots=True)
class Parcel:
    """A piece of land.

    Attributes:
        world: The sheet.
        place: Its middle.
        land: The ground that may be used, scene metres; prepared, for speed.
    """

    world: World
    place: Place
    land: BaseGeometry

    def free(self, local: NDArray[np.float64], margin: float = 14.0) -> NDArray[np.bool_]:
        """Say which local points (N, 2) may be used; those up to `margin` metres outside the scene may."""
        xy = self.place.points(local)
        size = np.array((self.world.width_m, self.world.height_m))
        near = (xy > -margin).all(axis=1) & (xy < size + margin).all(axis=1)
        return near & np.asarray(contains_xy(self.land, xy[:, 0], xy[:, 1]))

    def stretches(self, path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the usable parts of a path (N, 2), each of three points or more."""
        free = self.free(path, 40.0)
        runs = np.split(np.arange(len(path)), np.flatnonzero(np.diff(free.astype(int))) + 1)
        return [path[run] for run in runs if free[run[0]] and len(run) > 2]

    def takes(self, place: Place, size: Size) -> bool:
        """Say whether a rectangle centred on a place may be built on."""
        ring = place.points(centred(size))
        return near_scene(self.world, ring, 60.0) and bool(contains_properly(self.land, Polygon(ring)))

    def somewhere(self, size: Size, spread: float, rng: np.random.Generator, turn: float = 0.0) -> Place:
        """Draw a place up to `spread` times a size in metres from the middle, turned by `turn` radians."""
        x, y = rng.uniform(-spread, spread, 2) * size
        return self.place.child(float(x), float(y), turn)

    def pave(self, rings: ArrayLike, colours: ArrayLike, tier: Tier, material: Material = Material.KEEP) -> None:
        """Paint flat ground as `World.pave` does, but none outside the land; local rings (N, 2) or (K, N, 2)."""
        shapes = np.asarray(rings, dtype=np.float64)
        shapes = shapes[None] if shapes.ndim == 2 else shapes
        tones = np.broadcast_to(np.asarray(colours, dtype=np.float64), (len(shapes), 3))
        outlines = [Polygon(ring) for ring in self.place.points(shapes)]
        whole = np.array([bool(contains_properly(self.land, outline)) for outline in outlines], dtype=bool)
        self.world.pave(self.place, shapes[whole], tones[whole], tier, material)
        for k in np.flatnonzero(~whole):
            part = outlines[k].intersection(self.land)
            for piece in getattr(part, "geoms", [part]):
                if isinstance(piece, Polygon):  # and not a line, where two edges touch
                    self.world.pave_area(Place(0, 0), piece, tones[k], tier, material)


Maker = Callable[[Parcel, Size, np.random.Generator], None]

Choice = Callable[[float, np.random.Generator], Maker]


def near_scene(world: World, ring: NDArray[np.float64], margin: float) -> bool:
    """Say whether a ring's bounds (N, 2), scene metres, come within `margin` metres of the scene."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return bool((high > -margin).all() and low[0] < world.width_m + margin and low[1] < world.height_m + margin)


def patchwork(
    whole: Parcel, reach: float, step: Size, gap: float, choose: Choice, rng: np.random.Generator
) -> tuple[Lines, Lines]:
    """Cover the land within `reach` metres of a parcel's middle with small parcels, and fill them.

    Args:
        whole: The land; the small parcels lie along its axes.
        reach: Metres.
        step: About how long and wide a small parcel is, metres.
        gap: Metres between two of them.
        choose: What a parcel holds, by a smooth field over the land (-3.2..3.2).
        rng: Everything is drawn from it.

    Returns:
        Where the edges lie: x (N,) and y (M,), local metres.
    """
    prepare(whole.land)
    lines_x, lines_y = (_lines(reach, size, rng) for size in step)
    field = np.add.outer(_waves(lines_y, rng), _waves(lines_x, rng))
    for j, (y0, y1) in enumerate(pairwise(lines_y)):
        for i, (x0, x1) in enumerate(pairwise(lines_x)):
            ring = whole.place.points(rectangle(x0, y0, x1, y1))
            if near_scene(whole.world, ring, 30.0) and whole.land.intersects(Polygon(ring)):
                parcel = Parcel(whole.world, whole.place.child((x0 + x1) / 2, (y0 + y1) / 2), whole.land)
                choose(float(field[j, i]), rng)(parcel, (x1 - x0 - gap, y1 - y0 - gap), rng)
    return lines_x, lines_y


def _lines(reach: float, step: float, rng: np.random.Generator) -> Lines:
    """Edges of parcels across the land, about a step apart."""
    count = max(2, math.ceil(2 * reach / step))
    return (np.arange(count + 1) - count / 2) * step + rng.normal(0, 0.08 * step, count + 1)


def _waves(at: Lines, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.sin(at / 420 + rng.uniform(0, 6)) + 0.6 * np.sin(at / 190 + rng.uniform(0, 6))


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


def reach(world: World) -> float:
    """Return how far land goes from the scene's middle, metres: over its corners in every frame."""
    return 0.72 * max(world.width_m, world.height_m) + _OUTSIDE_M


def lines_across(world: World, count: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Draw winding lines (N, 2), scene metres, each all across the scene."""
    size = np.array((world.width_m, world.height_m))
    middles = rng.uniform(0.15, 0.85, (count, 2)) * size
    return [winding(Place(x, y, rng.uniform(0, 2 * math.pi)), 2 * reach(world), rng) for x, y in middles]


def zones(world: World, paths: list[NDArray[np.float64]], taken: list[BaseGeometry]) -> list[Polygon]:
    """Cut the scene along paths, and what is taken out of it; the largest piece comes first."""
    low, (right, low_end) = -_OUTSIDE_M, (world.width_m + _OUTSIDE_M, world.height_m + _OUTSIDE_M)
    pieces: list[BaseGeometry] = [Polygon(rectangle(low, low, right, low_end))]
    for path in paths:
        pieces = [part for piece in pieces for part in split(piece, LineString(path)).geoms]
    gone = unary_union(taken)
    lands = [part for piece in pieces for part in polygons(piece - gone)]
    return sorted(lands, key=lambda land: -land.area)


def polygons(area: BaseGeometry) -> list[Polygon]:
    """Return the polygons that an area is made of."""
    return [part for part in getattr(area, "geoms", [area]) if isinstance(part, Polygon) and not part.is_empty]
