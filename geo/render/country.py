"""The country around an airport: a patchwork of fields, woods, villages and works, with roads between.

Its frame may lie at any angle to the airport's. Nothing is put into the airport's own ground.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, contains_xy, intersects, prepare

from geo.render.buildings import building, house
from geo.render.landside import car_park, road
from geo.render.place import Place, centred, rectangle, rectangles
from geo.render.things import cars, trees, trucks
from geo.render.world import Material, Tier, World

_PARCEL_M = (300.0, 240.0)
_STREET_M = 68.0  # between streets of a village
_WOOD_STEP_M = 6.4
_ACROSS = math.pi / 2

Size = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A piece of country: its middle, and what of it is neither the airport's nor far outside the scene."""

    world: World
    place: Place
    airport: Polygon

    def free(self, local: NDArray[np.float64], margin: float = 14.0) -> NDArray[np.bool_]:
        """Say which local points (N, 2) may be used; those up to `margin` metres outside the scene may."""
        xy = self.place.points(local)
        size = np.array((self.world.width_m, self.world.height_m))
        near = (xy > -margin).all(axis=1) & (xy < size + margin).all(axis=1)
        return near & ~np.asarray(contains_xy(self.airport, xy[:, 0], xy[:, 1]))

    def stretches(self, path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the usable parts of a path (N, 2), each of three points or more."""
        free = self.free(path, 40.0)
        runs = np.split(np.arange(len(path)), np.flatnonzero(np.diff(free.astype(int))) + 1)
        return [path[run] for run in runs if free[run[0]] and len(run) > 2]

    def takes(self, place: Place, size: Size) -> bool:
        """Say whether a rectangle centred on a place may be built on."""
        ring = place.points(centred(size))
        return _near_scene(self.world, ring, 60.0) and not intersects(self.airport, Polygon(ring))


def _near_scene(world: World, ring: NDArray[np.float64], margin: float) -> bool:
    low, high = ring.min(axis=0), ring.max(axis=0)
    return bool((high > -margin).all() and low[0] < world.width_m + margin and low[1] < world.height_m + margin)


def spread_country(world: World, frame: Place, reach: float, airport: Polygon, rng: np.random.Generator) -> None:
    """Cover the land within `reach` metres of a frame's origin with parcels, outside an airport's ground.

    Args:
        world: The sheet.
        frame: The parcels lie along its axes.
        reach: Metres.
        airport: Ground that is taken, scene metres.
        rng: What each parcel holds.
    """
    prepare(airport)
    lines_x, lines_y = (_lines(reach, step, rng) for step in _PARCEL_M)
    town = np.add.outer(_waves(lines_y, rng), _waves(lines_x, rng))
    for j, (y0, y1) in enumerate(pairwise(lines_y)):
        for i, (x0, x1) in enumerate(pairwise(lines_x)):
            ring = frame.points(rectangle(x0, y0, x1, y1))
            if _near_scene(world, ring, 30.0) and not airport.contains(Polygon(ring)):
                parcel = _Parcel(world, frame.child((x0 + x1) / 2, (y0 + y1) / 2), airport)
                _maker(float(town[j, i]), rng)(parcel, (x1 - x0 - 10, y1 - y0 - 10), rng)
    _roads(_Parcel(world, frame, airport), lines_x, lines_y, rng)


def _lines(reach: float, step: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Edges of parcels across the land, about a step apart."""
    count = max(2, math.ceil(2 * reach / step))
    return (np.arange(count + 1) - count / 2) * step + rng.normal(0, 0.08 * step, count + 1)


def _waves(at: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.sin(at / 420 + rng.uniform(0, 6)) + 0.6 * np.sin(at / 190 + rng.uniform(0, 6))


def _maker(town: float, rng: np.random.Generator) -> Callable[[_Parcel, Size, np.random.Generator], None]:
    """Draw what a parcel holds: towns where `town` (-3.2..3.2) is high, woods where it is low."""
    if town > 0.9:
        return _houses if rng.random() < 0.72 else _works
    if town < -1.1 and rng.random() < 0.7:
        return _wood
    return _fields if rng.random() < 0.86 else _wood


def _fields(parcel: _Parcel, size: Size, rng: np.random.Generator) -> None:
    """One to three fields side by side, and perhaps a hedge."""
    width, depth = size
    cuts = rng.uniform(-0.4, 0.4, int(rng.integers(0, 3))) * width
    for x0, x1 in pairwise(np.sort([-width / 2, *cuts, width / 2])):
        _crop(parcel, (x0 + 2, x1 - 2), depth, rng)
    if rng.random() < 0.5:
        count = int(rng.integers(8, 50))
        spots = np.stack([rng.uniform(-width / 2, width / 2, count), rng.normal(depth / 2, 1.2, count)], axis=1)
        spots = spots[parcel.free(spots)]
        trees(parcel.world, parcel.place, spots, rng.uniform(1.4, 4.0, len(spots)), rng)


def _crop(parcel: _Parcel, sides: Size, depth: float, rng: np.random.Generator) -> None:
    """One field between two x, in rows of alternating tone."""
    (x0, x1), crops = sides, parcel.world.palette.crops
    base = np.array(crops[int(rng.integers(len(crops)))]) * rng.uniform(0.92, 1.08)
    field = rectangle(x0, -depth / 2, x1, depth / 2)
    parcel.world.pave(parcel.place, field, base, Tier.LAND, Material.FIELD)
    step, lengthwise = rng.uniform(3, 14), rng.random() < 0.5
    starts = np.arange(x0, x1 - step, step) if lengthwise else np.arange(-depth / 2, depth / 2 - step, step)
    if lengthwise:
        boxes = [(at, -depth / 2, at + step / 2, depth / 2) for at in starts]
    else:
        boxes = [(x0, at, x1, at + step / 2) for at in starts]
    tones = base * (1 + rng.normal(0, 0.028, (len(boxes), 1)) + rng.choice((-0.03, 0.03)))
    parcel.world.pave(parcel.place, rectangles(boxes), tones, Tier.LAND)


def _wood(parcel: _Parcel, size: Size, rng: np.random.Generator) -> None:
    world, place = parcel.world, parcel.place
    world.pave(place, centred(size), np.array(world.palette.tree) * 0.9, Tier.LAND, Material.GRASS)
    x = np.arange(-size[0] / 2, size[0] / 2, _WOOD_STEP_M)
    y = np.arange(-size[1] / 2, size[1] / 2, _WOOD_STEP_M)
    spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    spots = spots + rng.normal(0, 1.8, spots.shape)
    spots = spots[parcel.free(spots) & (rng.random(len(spots)) < 0.93)]
    trees(world, place, spots, rng.uniform(2.8, 5.2, len(spots)), rng)


def _houses(parcel: _Parcel, size: Size, rng: np.random.Generator) -> None:
    """Streets with houses, gardens and trees."""
    world, place, (width, depth) = parcel.world, parcel.place, size
    world.pave(place, centred(size), np.array(world.palette.grass) * 0.95, Tier.LAND, Material.SOIL)
    for y in np.arange(-depth / 2 + 34, depth / 2 - 20, _STREET_M):
        street = np.stack([np.linspace(-width / 2, width / 2, 40), np.full(40, y)], axis=1)
        for piece in parcel.stretches(street):
            road(world, place, piece, 6.0, rng, 1.2)
        for side in (-1, 1):
            _row_of_houses(parcel, y + 16 * side, width, rng)
        x = rng.uniform(-width / 2, width / 2, int(width / 7))
        behind = y + rng.choice((-1, 1), len(x)) * rng.uniform(24, 33, len(x))
        spots = np.stack([x, behind], axis=1)
        spots = spots[parcel.free(spots)]
        trees(world, place, spots, rng.uniform(1.5, 3.8, len(spots)), rng)


def _row_of_houses(parcel: _Parcel, y: float, width: float, rng: np.random.Generator) -> None:
    roofs = parcel.world.palette.house_roofs
    for x in np.arange(-width / 2 + 12, width / 2 - 8, rng.uniform(16, 22)):
        spot = parcel.place.child(x + rng.normal(0, 1), y + rng.normal(0, 1.5), rng.choice((0, _ACROSS)))
        size, roof = (rng.uniform(9, 14), rng.uniform(7, 10)), roofs[int(rng.integers(len(roofs)))]
        if rng.random() < 0.9 and parcel.takes(spot, (18, 18)):
            house(parcel.world, spot, size, roof)


def _works(parcel: _Parcel, size: Size, rng: np.random.Generator) -> None:
    """Warehouses, yards, car parks."""
    world, place, (width, depth) = parcel.world, parcel.place, size
    yard = np.array(world.palette.road) * rng.uniform(0.95, 1.15)
    world.pave(place, centred(size), yard, Tier.LAND, Material.ASPHALT)
    for x in (-width / 4, width / 4):
        for y in (-depth / 4, depth / 4):
            spot = place.child(x, y)
            if not parcel.takes(spot, (width / 2, depth / 2)):
                continue
            if rng.random() < 0.75:
                _warehouse(world, spot, (rng.uniform(0.26, 0.42) * width, rng.uniform(0.2, 0.36) * depth), rng)
            else:
                car_park(world, spot, (0.44 * width, 0.42 * depth), rng)
    along = np.arange(-width / 2 + 6, width / 2 - 6, 3.0)
    lane = np.stack([along, np.zeros(len(along))], axis=1)
    cars(world, place, lane[parcel.free(lane) & (rng.random(len(lane)) < 0.4)], _ACROSS, rng)


def _warehouse(world: World, place: Place, size: Size, rng: np.random.Generator) -> None:
    building(world, place, size, rng.uniform(7, 14), world.palette.draw_roof(rng), rng)
    docks = np.arange(-size[0] / 2 + 4, size[0] / 2 - 3, 4.4)
    docks = docks[rng.random(len(docks)) < 0.35]
    trucks(world, place, np.stack([docks, np.full(len(docks), size[1] / 2 + 9)], axis=1), _ACROSS, rng, 14.0)


def _roads(land: _Parcel, lines_x: NDArray[np.float64], lines_y: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Roads along some of the parcels' edges, cut where the airport begins."""
    down, across = (np.linspace(line[0], line[-1], 200) for line in (lines_y, lines_x))
    paths = [np.stack([np.full(200, x), down], axis=1) for x in lines_x[1::3]]
    paths += [np.stack([across, np.full(200, y)], axis=1) for y in lines_y[::3]]
    for path in paths:
        width = float(rng.choice((5.5, 7.0, 7.0, 15.0)))
        for piece in land.stretches(path):
            road(land.world, land.place, piece, width, rng)
