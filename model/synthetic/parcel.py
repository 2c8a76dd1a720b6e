"""A patchwork of parcels over land of any outline, and how what fills a parcel stays on that land."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import Polygon, contains_properly, contains_xy, prepare
from shapely.geometry.base import BaseGeometry

from model.synthetic.place import Place, centred, rectangle
from model.synthetic.world import Material, Tier, World

Size = tuple[float, float]
Lines = NDArray[np.float64]


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
