"""Where a town plays: stadiums, sports grounds, pools, parks."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.synthetic.landside import car_park
from model.synthetic.parcel import Parcel, Size
from model.synthetic.place import Place, centred, discs, rectangle, rectangles, ribbon
from model.synthetic.roofs import bar, facet
from model.synthetic.style import Colour
from model.synthetic.things import trees
from model.synthetic.water import lay_pond
from model.synthetic.world import WHITE_PAINT, Material, Tier, World

_TURF = (98, 132, 74)
_COURTS: tuple[Colour, ...] = ((92, 122, 150), (96, 128, 92), (162, 100, 74), (150, 138, 112))
_POOL = (112, 178, 192)
_TRACK = (164, 98, 78)
_LEAST_STADIUM = 0.75  # of the usual size


def pool(world: World, place: Place, length: float, rng: np.random.Generator) -> None:
    """Lay a garden's swimming pool with its terrace, centred on a place."""
    world.pave(place, centred((length + 4, 0.5 * length + 4)), (196, 190, 178), Tier.TRACK, Material.CONCRETE)
    ring = centred((length, 0.5 * length)) if rng.random() < 0.7 else discs((0.0, 0.0), 0.4 * length, 14)[0]
    world.pave(place, ring, np.array(_POOL) * rng.uniform(0.85, 1.08), Tier.ROAD, Material.WATER)


def park(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Lawns, paths, trees, a pond; perhaps an open-air bath."""
    world, place = parcel.world, parcel.place
    parcel.pave(centred(size), np.array(world.palette.grass) * 0.98, Tier.LAND, Material.GRASS)
    gravel = np.array(world.palette.soil) * 1.15
    for _ in range(3):
        x = np.linspace(-size[0] / 2, size[0] / 2, 40)
        y = rng.uniform(-0.3, 0.3) * size[1] + rng.uniform(4, 16) * np.sin(x / rng.uniform(14, 40))
        for piece in parcel.stretches(np.stack([x, y], axis=1)):
            world.pave(place, ribbon(piece, 3), gravel, Tier.ROAD, Material.SOIL)
    spots = rng.uniform(-0.5, 0.5, (int(size[0] * size[1] / 130), 2)) * size
    spots = spots[parcel.free(spots) & (np.hypot(*spots.T) > 0.22 * min(size))]
    trees(world, place, spots, rng.uniform(2, 5, len(spots)), rng)
    if parcel.takes(place, (0.44 * min(size), 0.44 * min(size))):
        if rng.random() < 0.5:
            lay_pond(world, place, 0.15 * min(size), rng)
        else:
            _bath(world, place)


def _bath(world: World, place: Place) -> None:
    """A pool of 50 m with lanes, and a round one."""
    world.pave(place, centred((66, 38)), (206, 200, 188), Tier.TRACK, Material.CONCRETE)
    world.pave(place.child(0, 6), centred((50, 21)), _POOL, Tier.ROAD, Material.WATER)
    lanes = rectangles([(-25, y, 25, y + 0.3) for y in np.arange(-2, 15, 2.5)])
    world.pave(place, lanes, np.array(_POOL) * 0.7, Tier.SHOULDER)
    world.pave(place, discs((-18.0, -12.0), 5.0, 16)[0], np.array(_POOL) * 1.06, Tier.ROAD, Material.WATER)


def pitch(world: World, place: Place, size: Size, rng: np.random.Generator) -> None:
    """Lay a football pitch with mown stripes and white lines, centred on a place."""
    (half, side), turf = (size[0] / 2, size[1] / 2), np.array(_TURF) * rng.uniform(0.85, 1.1)
    world.pave(place, centred((size[0] + 8, size[1] + 8)), turf * 0.96, Tier.TRACK, Material.GRASS)
    stripes = rectangles([(x, -side, x + size[0] / 20, side) for x in np.arange(-half, half, size[0] / 10)])
    world.pave(place, stripes, turf * 1.06, Tier.ROAD)
    outline = [(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)]
    lines = [*pairwise(outline), ((0, -side), (0, side))]
    for end in (-1, 1):
        box = [(end * half, -20.0), (end * (half - 16.5), -20.0), (end * (half - 16.5), 20.0), (end * half, 20.0)]
        lines += pairwise(box)
    around = np.linspace(0, 2 * math.pi, 25)
    ring = 9.15 * np.stack([np.cos(around), np.sin(around)], axis=1)
    lines += pairwise(ring)
    for line in lines:
        world.pave(place, ribbon(line, 0.25), WHITE_PAINT, Tier.MARKING)


def sports_ground(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Pitches, a running track, courts for tennis."""
    world, (width, depth) = parcel.world, size
    if not parcel.takes(parcel.place, (0.9 * width, 0.9 * depth)):
        park(parcel, size, rng)
        return
    parcel.pave(centred(size), np.array(world.palette.grass), Tier.LAND, Material.GRASS)
    long = parcel.place if width > depth else parcel.place.child(0, 0, math.pi / 2)
    scale = min(1.0, 0.8 * min(size) / 96, 0.8 * max(size) / 180)
    for radius, tone in ((45.0, _TRACK), (36.5, _TURF)):
        world.pave(long, _oval(84 * scale, radius * scale), tone, Tier.LAND, Material.ASPHALT)
    for k in range(7):
        edge = _oval(84 * scale, (37.5 + 1.1 * k) * scale)
        world.pave(long, ribbon(np.concatenate([edge, edge[:1]]), 0.2), np.array(_TRACK) * 1.3, Tier.TRACK)
    pitch(world, long, (100 * scale, 62 * scale), rng)
    _courts(world, long.child(-0.44 * max(size), 0.28 * min(size)), rng)


def _courts(world: World, place: Place, rng: np.random.Generator) -> None:
    tone, around = _COURTS[int(rng.integers(len(_COURTS)))], _COURTS[int(rng.integers(len(_COURTS)))]
    for k in range(int(rng.integers(2, 6))):
        court = place.child(9 + 18.5 * k, 0)
        world.pave(court, centred((18, 36)), around, Tier.TRACK, Material.ASPHALT)
        world.pave(court, centred((11, 23.8)), tone, Tier.ROAD, Material.ASPHALT)
        for x in (-5.5, -4.1, 4.1, 5.5):
            world.pave(court, rectangle(x - 0.1, -11.9, x + 0.1, 11.9), WHITE_PAINT, Tier.MARKING)
        for y in (-11.9, -6.4, 0.0, 6.4, 11.9):
            world.pave(court, rectangle(-5.5, y - 0.1, 5.5, y + 0.1), WHITE_PAINT, Tier.MARKING)


def _oval(straight: float, radius: float) -> NDArray[np.float64]:
    """Two straights of a length in metres joined by half circles: a ring (40, 2)."""
    around = np.linspace(-math.pi / 2, math.pi / 2, 20)
    half = np.stack([np.cos(around), np.sin(around)], axis=1) * radius + (straight / 2, 0)
    return np.concatenate([half, -half])


def stadium(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """A stadium with a roof all around, floodlights, car parks beside it."""
    world, (width, depth) = parcel.world, size
    place = parcel.place if width > depth else parcel.place.child(0, 0, math.pi / 2)
    room = (max(size), min(size))
    scale = min(1.0, 0.92 * room[1] / 150, 0.92 * room[0] / 190)
    if scale < _LEAST_STADIUM or not parcel.takes(place, (190 * scale, 150 * scale)):
        park(parcel, size, rng)
        return
    parcel.pave(centred(size), np.array(world.palette.asphalt), Tier.LAND, Material.ASPHALT)
    pitch(world, place, (100 * scale, 62 * scale), rng)
    _stands(world, place, scale, world.palette.draw_roof(rng))
    for x in (-1, 1):
        for y in (-1, 1):
            _floodlight(world, place.child(x * 82 * scale, y * 62 * scale))
        rest = room[0] / 2 - 96 * scale
        if rest > 30:
            car_park(world, place.child(x * (room[0] / 2 - rest / 2 + 3), 0), (rest - 12, 0.8 * room[1]), rng)


def _floodlight(world: World, place: Place) -> None:
    bar(world, place, [(0, 0, 0), (0, 0, 42)], (1.6, 1.0), (170, 172, 172))
    bar(world, place, [(-5, 0, 42), (5, 0, 42)], (1.5, 1.5), (230, 230, 226))


def _stands(world: World, place: Place, scale: float, roof: Colour) -> None:
    """Rows of seats that rise outwards, and a roof over their outer half."""
    steps = [(_oval(50 * scale, radius * scale), height) for radius, height in ((46, 2), (56, 10), (66, 19), (68, 0))]
    seats = np.array((128, 120, 122))
    for (inner, low), (outer, high), paint in zip(steps[:-1], steps[1:], (seats, seats * 0.85, seats), strict=True):
        for k in range(len(inner)):
            j = (k + 1) % len(inner)
            quad = [(*inner[k], low), (*inner[j], low), (*outer[j], high), (*outer[k], high)]
            facet(world, place, quad, paint)
    inner, outer = (_oval(50 * scale, radius * scale) for radius in (51.0, 68.0))
    for k in range(len(inner)):
        j = (k + 1) % len(inner)
        facet(world, place, [(*inner[k], 25), (*inner[j], 25), (*outer[j], 22), (*outer[k], 22)], roof)
        if k % 4 == 0:
            bar(world, place, [(*inner[k], 25.2), (*outer[k], 22.2)], (0.8, 0.8), (214, 214, 210))
