"""The country around an airport: a patchwork of fields, woods, villages and works, with roads between.

Its frame may lie at any angle to the airport's. Nothing is put into the airport's own ground.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from model.synthetic.buildings import building, house
from model.synthetic.landside import car_park, road
from model.synthetic.parcel import Choice, Parcel, Size, patchwork
from model.synthetic.place import Place, centred, rectangle, rectangles
from model.synthetic.things import cars, trees, trucks
from model.synthetic.world import Material, Tier, World

_PARCEL_M = (300.0, 240.0)
_STREET_M = 68.0  # between streets of a village
_WOOD_STEP_M = 6.4
_ACROSS = math.pi / 2


def spread_country(
    world: World, frame: Place, reach: float, land: BaseGeometry, rng: np.random.Generator, choose: Choice
) -> None:
    """Cover the land within `reach` metres of a frame's origin with parcels, and lay roads between them.

    Args:
        world: The sheet.
        frame: The parcels lie along its axes.
        reach: Metres.
        land: Ground that may be used, scene metres.
        rng: What each parcel holds.
        choose: What there is to choose from.
    """
    whole = Parcel(world, frame, land)
    lines_x, lines_y = patchwork(whole, reach, _PARCEL_M, 10.0, choose, rng)
    _roads(whole, lines_x, lines_y, rng)


def fields(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
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


def _crop(parcel: Parcel, sides: Size, depth: float, rng: np.random.Generator) -> None:
    """One field between two x, in rows of alternating tone."""
    (x0, x1), crops = sides, parcel.world.palette.crops
    base = np.array(crops[int(rng.integers(len(crops)))]) * rng.uniform(0.92, 1.08)
    field = rectangle(x0, -depth / 2, x1, depth / 2)
    parcel.pave(field, base, Tier.LAND, Material.FIELD)
    step, lengthwise = rng.uniform(3, 14), rng.random() < 0.5
    starts = np.arange(x0, x1 - step, step) if lengthwise else np.arange(-depth / 2, depth / 2 - step, step)
    if lengthwise:
        boxes = [(at, -depth / 2, at + step / 2, depth / 2) for at in starts]
    else:
        boxes = [(x0, at, x1, at + step / 2) for at in starts]
    tones = base * (1 + rng.normal(0, 0.028, (len(boxes), 1)) + rng.choice((-0.03, 0.03)))
    parcel.pave(rectangles(boxes), tones, Tier.LAND)


def wood(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Trees so close that no ground is seen."""
    world, place = parcel.world, parcel.place
    parcel.pave(centred(size), np.array(world.palette.tree) * 0.9, Tier.LAND, Material.GRASS)
    x = np.arange(-size[0] / 2, size[0] / 2, _WOOD_STEP_M)
    y = np.arange(-size[1] / 2, size[1] / 2, _WOOD_STEP_M)
    spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    spots = spots + rng.normal(0, 1.8, spots.shape)
    spots = spots[parcel.free(spots) & (rng.random(len(spots)) < 0.93)]
    trees(world, place, spots, rng.uniform(2.8, 5.2, len(spots)), rng)


def houses(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Streets with houses, gardens and trees."""
    world, place, (width, depth) = parcel.world, parcel.place, size
    parcel.pave(centred(size), np.array(world.palette.grass) * 0.95, Tier.LAND, Material.SOIL)
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


def _row_of_houses(parcel: Parcel, y: float, width: float, rng: np.random.Generator) -> None:
    roofs = parcel.world.palette.house_roofs
    for x in np.arange(-width / 2 + 12, width / 2 - 8, rng.uniform(16, 22)):
        spot = parcel.place.child(x + rng.normal(0, 1), y + rng.normal(0, 1.5), rng.choice((0, _ACROSS)))
        size, roof = (rng.uniform(9, 14), rng.uniform(7, 10)), roofs[int(rng.integers(len(roofs)))]
        if rng.random() < 0.9 and parcel.takes(spot, (18, 18)):
            house(parcel.world, spot, size, roof)


def works(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Warehouses, yards, car parks."""
    world, place, (width, depth) = parcel.world, parcel.place, size
    yard = np.array(world.palette.road) * rng.uniform(0.95, 1.15)
    parcel.pave(centred(size), yard, Tier.LAND, Material.ASPHALT)
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


def _roads(land: Parcel, lines_x: NDArray[np.float64], lines_y: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Roads along some of the parcels' edges, cut where the airport begins."""
    down, across = (np.linspace(line[0], line[-1], 200) for line in (lines_y, lines_x))
    paths = [np.stack([np.full(200, x), down], axis=1) for x in lines_x[1::3]]
    paths += [np.stack([across, np.full(200, y)], axis=1) for y in lines_y[::3]]
    for path in paths:
        width = float(rng.choice((5.5, 7.0, 7.0, 15.0)))
        for piece in land.stretches(path):
            road(land.world, land.place, piece, width, rng)
