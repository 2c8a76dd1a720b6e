"""Blocks of works and trade: halls with roofs of all kinds, tanks, containers, trucks, shops as big as a block."""

import math

import numpy as np

from model.synthetic.buildings import building
from model.synthetic.landside import car_park
from model.synthetic.parcel import Parcel, Size
from model.synthetic.place import Place, centred, rectangles
from model.synthetic.roofs import draw_paint, pitched, round_tank, sawtooth, vaulted
from model.synthetic.structures import containers
from model.synthetic.style import Colour
from model.synthetic.things import trucks
from model.synthetic.world import Level, Material, Tier

_ACROSS = math.pi / 2
_HALLS: tuple[Colour, ...] = (
    (206, 208, 208),
    (226, 226, 222),
    (160, 164, 168),
    (128, 136, 148),
    (176, 166, 150),
    (110, 124, 118),
)


def industry(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Halls with roofs of all kinds, tanks, containers, trucks in rows."""
    world, (width, depth) = parcel.world, size
    tone = np.array(world.palette.asphalt if rng.random() < 0.5 else world.palette.concrete) * rng.uniform(0.88, 1.02)
    parcel.pave(centred(size), tone, Tier.LAND, Material.ASPHALT)
    for x in (-width / 4, width / 4):
        for y in (-depth / 4, depth / 4):
            spot, room = parcel.place.child(x, y), (0.46 * width, 0.45 * depth)
            if parcel.takes(spot, room):
                _YARDS[int(rng.choice(len(_YARDS), p=_YARD_SHARES))](parcel, spot, room, rng)
    along = np.arange(-width / 2 + 8, width / 2 - 8, 9.0)
    lane = np.stack([along, np.zeros(len(along))], axis=1)
    lane = lane[parcel.free(lane) & (rng.random(len(lane)) < 0.3)]
    trucks(world, parcel.place, lane, 0.0, rng, rng.uniform(7, 14))


def _hall(parcel: Parcel, spot: Place, room: Size, rng: np.random.Generator) -> None:
    size = (rng.uniform(0.7, 0.95) * room[0], rng.uniform(0.6, 0.92) * room[1])
    height, roof, kind = rng.uniform(7, 14), draw_paint(_HALLS, rng), rng.random()
    if kind < 0.4:
        building(parcel.world, spot, size, height, roof, rng)
        _skylights(parcel, spot, size, height, rng)
    elif kind < 0.6:
        sawtooth(parcel.world, spot, size, height, rng.uniform(7, 13), roof)
    elif kind < 0.8:
        aisles = max(1, round(size[1] / 24))
        for k in range(aisles):
            aisle = spot.child(0, (k + 0.5) * size[1] / aisles - size[1] / 2)
            pitched(parcel.world, aisle, (size[0], size[1] / aisles), (height, height + 3.5), roof, wall=roof)
    else:
        vaulted(parcel.world, spot, size, (height, height + 0.16 * size[1]), roof)


def _skylights(parcel: Parcel, spot: Place, size: Size, height: float, rng: np.random.Generator) -> None:
    x = np.arange(-0.44 * size[0], 0.42 * size[0], rng.uniform(6, 11))
    y = np.arange(-0.4 * size[1], 0.36 * size[1], rng.uniform(6, 14))
    corner = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    panes = rectangles(np.concatenate([corner, corner + np.array((1.6, rng.uniform(1.6, 4)))], axis=1))
    parcel.world.put(spot, panes, (212, 220, 224) if rng.random() < 0.6 else (112, 124, 134), Level.STRUCTURE, height)


def _container_yard(parcel: Parcel, spot: Place, room: Size, rng: np.random.Generator) -> None:
    x, y = np.arange(-0.44 * room[0], 0.42 * room[0], 12.6), np.arange(-0.42 * room[1], 0.42 * room[1], 2.9)
    y = y[np.arange(len(y)) % 7 < 5]
    spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    containers(parcel.world, spot, spots[rng.random(len(spots)) < rng.uniform(0.4, 0.95)], 0.0, rng)


def _truck_park(parcel: Parcel, spot: Place, room: Size, rng: np.random.Generator) -> None:
    x = np.arange(-0.45 * room[0], 0.45 * room[0], 4.2)
    for y in np.arange(-0.4 * room[1], 0.3 * room[1], 24.0):
        here = x[rng.random(len(x)) < 0.6]
        trucks(parcel.world, spot, np.stack([here, np.full(len(here), y + 7)], axis=1), _ACROSS, rng, 14.0)


def _tanks(parcel: Parcel, spot: Place, room: Size, rng: np.random.Generator) -> None:
    radius = rng.uniform(5, 14)
    for x in np.arange(-room[0] / 2 + radius * 1.4, room[0] / 2 - radius, radius * 2.6):
        for y in np.arange(-room[1] / 2 + radius * 1.4, room[1] / 2 - radius, radius * 2.6):
            if rng.random() < 0.9:
                round_tank(parcel.world, spot.child(x, y), radius * rng.uniform(0.8, 1), 11, (214, 214, 208))


def _lot(parcel: Parcel, spot: Place, room: Size, rng: np.random.Generator) -> None:
    car_park(parcel.world, spot, (0.9 * room[0], 0.85 * room[1]), rng)


def mall(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """A shop as big as half the block, a car park before it."""
    world, (width, depth) = parcel.world, size
    if not parcel.takes(parcel.place, size):
        industry(parcel, size, rng)
        return
    parcel.pave(centred(size), np.array(world.palette.asphalt) * 1.02, Tier.LAND, Material.ASPHALT)
    building(world, parcel.place.child(0, -depth / 4), (0.9 * width, 0.42 * depth), 9, draw_paint(_HALLS, rng), rng)
    car_park(world, parcel.place.child(0, depth / 4), (0.86 * width, 0.4 * depth), rng)


_YARDS = (_hall, _container_yard, _truck_park, _tanks, _lot)
_YARD_SHARES = (0.6, 0.1, 0.08, 0.08, 0.14)
