"""Districts that fill whole parcels: industry and shops, parks and sports, and a harbour.

Harbour frame: x along the main quay, y = 0 on its edge, water at greater y.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, unary_union
from shapely.geometry.base import BaseGeometry

from model.synthetic.buildings import (
    bar,
    building,
    facet,
    pitched_building,
    round_tank,
    sample_colour,
    sawtooth_hall,
    vaulted_hall,
)
from model.synthetic.geometry import (
    QUARTER_TURN,
    SCENE_FRAME,
    Frame,
    Size,
    centred_box,
    discs,
    grid_points,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.land import Parcel, car_park, lay_pond, lay_water, sample_water_colour
from model.synthetic.objects import boats, cars, containers, quay_crane, ship, trees, trucks
from model.synthetic.style import Colour, pick
from model.synthetic.world import WHITE_PAINT, Level, Material, Tier, World

_HALLS: tuple[Colour, ...] = (
    (206, 208, 208),
    (226, 226, 222),
    (160, 164, 168),
    (128, 136, 148),
    (176, 166, 150),
    (110, 124, 118),
)
_TURF = (98, 132, 74)
_COURTS: tuple[Colour, ...] = ((92, 122, 150), (96, 128, 92), (162, 100, 74), (150, 138, 112))
_POOL = (112, 178, 192)
_TRACK = (164, 98, 78)
_MIN_STADIUM_SCALE = 0.75  # fraction of the full size
_QUAY_M = 130.0  # depth of the quay inland


def industry(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add halls with roofs of all kinds, tanks, containers and rows of trucks."""
    world, (width, depth) = parcel.world, size
    tone = np.array(world.palette.asphalt if rng.random() < 0.5 else world.palette.concrete) * rng.uniform(0.88, 1.02)
    parcel.pave(centred_box(size), tone, Tier.LAND, Material.ASPHALT)
    for x in (-width / 4, width / 4):
        for y in (-depth / 4, depth / 4):
            spot, room = parcel.frame.child(x, y), (0.46 * width, 0.45 * depth)
            if parcel.fits(spot, room):
                _YARDS[int(rng.choice(len(_YARDS), p=_YARD_SHARES))](parcel, spot, room, rng)
    along = np.arange(-width / 2 + 8, width / 2 - 8, 9.0)
    lane = np.stack([along, np.zeros(len(along))], axis=1)
    lane = lane[parcel.usable(lane) & (rng.random(len(lane)) < 0.3)]
    trucks(world, parcel.frame, lane, 0.0, rng, rng.uniform(7, 14))


def _hall(parcel: Parcel, spot: Frame, room: Size, rng: np.random.Generator) -> None:
    size = (rng.uniform(0.7, 0.95) * room[0], rng.uniform(0.6, 0.92) * room[1])
    height, roof, kind = rng.uniform(7, 14), sample_colour(_HALLS, rng), rng.random()
    if kind < 0.4:
        building(parcel.world, spot, size, height, roof, rng)
        _skylights(parcel, spot, size, height, rng)
    elif kind < 0.6:
        sawtooth_hall(parcel.world, spot, size, height, rng.uniform(7, 13), roof)
    elif kind < 0.8:
        aisles = max(1, round(size[1] / 24))
        for k in range(aisles):
            aisle = spot.child(0, (k + 0.5) * size[1] / aisles - size[1] / 2)
            pitched_building(parcel.world, aisle, (size[0], size[1] / aisles), (height, height + 3.5), roof, wall=roof)
    else:
        vaulted_hall(parcel.world, spot, size, (height, height + 0.16 * size[1]), roof)


def _skylights(parcel: Parcel, spot: Frame, size: Size, height: float, rng: np.random.Generator) -> None:
    x = np.arange(-0.44 * size[0], 0.42 * size[0], rng.uniform(6, 11))
    y = np.arange(-0.4 * size[1], 0.36 * size[1], rng.uniform(6, 14))
    corner = grid_points(x, y)
    panes = rectangles(np.concatenate([corner, corner + np.array((1.6, rng.uniform(1.6, 4)))], axis=1))
    parcel.world.draw(spot, panes, (212, 220, 224) if rng.random() < 0.6 else (112, 124, 134), Level.STRUCTURE, height)


def _container_yard(parcel: Parcel, spot: Frame, room: Size, rng: np.random.Generator) -> None:
    x, y = np.arange(-0.44 * room[0], 0.42 * room[0], 12.6), np.arange(-0.42 * room[1], 0.42 * room[1], 2.9)
    y = y[np.arange(len(y)) % 7 < 5]
    spots = grid_points(x, y)
    containers(parcel.world, spot, spots[rng.random(len(spots)) < rng.uniform(0.4, 0.95)], 0.0, rng)


def _truck_park(parcel: Parcel, spot: Frame, room: Size, rng: np.random.Generator) -> None:
    x = np.arange(-0.45 * room[0], 0.45 * room[0], 4.2)
    for y in np.arange(-0.4 * room[1], 0.3 * room[1], 24.0):
        occupied = x[rng.random(len(x)) < 0.6]
        trucks(parcel.world, spot, np.stack([occupied, np.full(len(occupied), y + 7)], axis=1), QUARTER_TURN, rng, 14.0)


def _tanks(parcel: Parcel, spot: Frame, room: Size, rng: np.random.Generator) -> None:
    radius = rng.uniform(5, 14)
    for x in np.arange(-room[0] / 2 + radius * 1.4, room[0] / 2 - radius, radius * 2.6):
        for y in np.arange(-room[1] / 2 + radius * 1.4, room[1] / 2 - radius, radius * 2.6):
            if rng.random() < 0.9:
                round_tank(parcel.world, spot.child(x, y), radius * rng.uniform(0.8, 1), 11, (214, 214, 208))


def _lot(parcel: Parcel, spot: Frame, room: Size, rng: np.random.Generator) -> None:
    car_park(parcel.world, spot, (0.9 * room[0], 0.85 * room[1]), rng)


def mall(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a shopping centre over half the block, with a car park in front of it."""
    world, (width, depth) = parcel.world, size
    if not parcel.fits(parcel.frame, size):
        industry(parcel, size, rng)
        return
    parcel.pave(centred_box(size), np.array(world.palette.asphalt) * 1.02, Tier.LAND, Material.ASPHALT)
    building(world, parcel.frame.child(0, -depth / 4), (0.9 * width, 0.42 * depth), 9, sample_colour(_HALLS, rng), rng)
    car_park(world, parcel.frame.child(0, depth / 4), (0.86 * width, 0.4 * depth), rng)


_YARDS = (_hall, _container_yard, _truck_park, _tanks, _lot)

_YARD_SHARES = (0.6, 0.1, 0.08, 0.08, 0.14)


def pool(world: World, frame: Frame, length: float, rng: np.random.Generator) -> None:
    """Add a garden swimming pool with its terrace, centred on a frame."""
    world.pave(frame, centred_box((length + 4, 0.5 * length + 4)), (196, 190, 178), Tier.TRACK, Material.CONCRETE)
    ring = centred_box((length, 0.5 * length)) if rng.random() < 0.7 else discs((0.0, 0.0), 0.4 * length, 14)[0]
    world.pave(frame, ring, np.array(_POOL) * rng.uniform(0.85, 1.08), Tier.ROAD, Material.WATER)


def park(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add lawns, paths, trees and a pond or an open-air pool."""
    world, frame = parcel.world, parcel.frame
    parcel.pave(centred_box(size), np.array(world.palette.grass) * 0.98, Tier.LAND, Material.GRASS)
    gravel = np.array(world.palette.soil) * 1.15
    for _ in range(3):
        x = np.linspace(-size[0] / 2, size[0] / 2, 40)
        y = rng.uniform(-0.3, 0.3) * size[1] + rng.uniform(4, 16) * np.sin(x / rng.uniform(14, 40))
        for piece in parcel.usable_stretches(np.stack([x, y], axis=1)):
            world.pave(frame, ribbon(piece, 3), gravel, Tier.ROAD, Material.SOIL)
    spots = rng.uniform(-0.5, 0.5, (int(size[0] * size[1] / 130), 2)) * size
    spots = spots[parcel.usable(spots) & (np.hypot(*spots.T) > 0.22 * min(size))]
    trees(world, frame, spots, rng.uniform(2, 5, len(spots)), rng)
    if parcel.fits(frame, (0.44 * min(size), 0.44 * min(size))):
        if rng.random() < 0.5:
            lay_pond(world, frame, 0.15 * min(size), rng)
        else:
            _open_air_pool(world, frame)


def _open_air_pool(world: World, frame: Frame) -> None:
    """Add a 50 m pool with lanes, and a round one."""
    world.pave(frame, centred_box((66, 38)), (206, 200, 188), Tier.TRACK, Material.CONCRETE)
    world.pave(frame.child(0, 6), centred_box((50, 21)), _POOL, Tier.ROAD, Material.WATER)
    lanes = rectangles([(-25, y, 25, y + 0.3) for y in np.arange(-2, 15, 2.5)])
    world.pave(frame, lanes, np.array(_POOL) * 0.7, Tier.SHOULDER)
    world.pave(frame, discs((-18.0, -12.0), 5.0, 16)[0], np.array(_POOL) * 1.06, Tier.ROAD, Material.WATER)


def pitch(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add a football pitch with mown stripes and white lines, centred on a frame."""
    (half, side), turf = (size[0] / 2, size[1] / 2), np.array(_TURF) * rng.uniform(0.85, 1.1)
    world.pave(frame, centred_box((size[0] + 8, size[1] + 8)), turf * 0.96, Tier.TRACK, Material.GRASS)
    stripes = rectangles([(x, -side, x + size[0] / 20, side) for x in np.arange(-half, half, size[0] / 10)])
    world.pave(frame, stripes, turf * 1.06, Tier.ROAD)
    outline = [(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)]
    lines = [*pairwise(outline), ((0, -side), (0, side))]
    for end in (-1, 1):
        box = [(end * half, -20.0), (end * (half - 16.5), -20.0), (end * (half - 16.5), 20.0), (end * half, 20.0)]
        lines += pairwise(box)
    around = np.linspace(0, 2 * math.pi, 25)
    ring = 9.15 * np.stack([np.cos(around), np.sin(around)], axis=1)
    lines += pairwise(ring)
    for line in lines:
        world.pave(frame, ribbon(line, 0.25), WHITE_PAINT, Tier.MARKING)


def sports_ground(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a pitch, a running track and tennis courts."""
    world, (width, depth) = parcel.world, size
    if not parcel.fits(parcel.frame, (0.9 * width, 0.9 * depth)):
        park(parcel, size, rng)
        return
    parcel.pave(centred_box(size), np.array(world.palette.grass), Tier.LAND, Material.GRASS)
    long = parcel.frame if width > depth else parcel.frame.child(0, 0, math.pi / 2)
    scale = min(1.0, 0.8 * min(size) / 96, 0.8 * max(size) / 180)
    for radius, tone in ((45.0, _TRACK), (36.5, _TURF)):
        world.pave(long, _oval(84 * scale, radius * scale), tone, Tier.LAND, Material.ASPHALT)
    for k in range(7):
        edge = _oval(84 * scale, (37.5 + 1.1 * k) * scale)
        world.pave(long, ribbon(np.concatenate([edge, edge[:1]]), 0.2), np.array(_TRACK) * 1.3, Tier.TRACK)
    pitch(world, long, (100 * scale, 62 * scale), rng)
    _tennis_courts(world, long.child(-0.44 * max(size), 0.28 * min(size)), rng)


def _tennis_courts(world: World, frame: Frame, rng: np.random.Generator) -> None:
    tone, around = pick(_COURTS, rng), pick(_COURTS, rng)
    for k in range(int(rng.integers(2, 6))):
        court = frame.child(9 + 18.5 * k, 0)
        world.pave(court, centred_box((18, 36)), around, Tier.TRACK, Material.ASPHALT)
        world.pave(court, centred_box((11, 23.8)), tone, Tier.ROAD, Material.ASPHALT)
        for x in (-5.5, -4.1, 4.1, 5.5):
            world.pave(court, rectangle(x - 0.1, -11.9, x + 0.1, 11.9), WHITE_PAINT, Tier.MARKING)
        for y in (-11.9, -6.4, 0.0, 6.4, 11.9):
            world.pave(court, rectangle(-5.5, y - 0.1, 5.5, y + 0.1), WHITE_PAINT, Tier.MARKING)


def _oval(straight: float, radius: float) -> NDArray[np.float64]:
    """Return two straights of a length in metres joined by half circles: a ring (40, 2)."""
    around = np.linspace(-math.pi / 2, math.pi / 2, 20)
    half = np.stack([np.cos(around), np.sin(around)], axis=1) * radius + (straight / 2, 0)
    return np.concatenate([half, -half])


def stadium(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a stadium with a roof all around, floodlights, and car parks beside it."""
    world, (width, depth) = parcel.world, size
    frame = parcel.frame if width > depth else parcel.frame.child(0, 0, math.pi / 2)
    room = (max(size), min(size))
    scale = min(1.0, 0.92 * room[1] / 150, 0.92 * room[0] / 190)
    if scale < _MIN_STADIUM_SCALE or not parcel.fits(frame, (190 * scale, 150 * scale)):
        park(parcel, size, rng)
        return
    parcel.pave(centred_box(size), np.array(world.palette.asphalt), Tier.LAND, Material.ASPHALT)
    pitch(world, frame, (100 * scale, 62 * scale), rng)
    _grandstands(world, frame, scale, world.palette.sample_roof(rng))
    for x in (-1, 1):
        for y in (-1, 1):
            _floodlight(world, frame.child(x * 82 * scale, y * 62 * scale))
        rest = room[0] / 2 - 96 * scale
        if rest > 30:
            car_park(world, frame.child(x * (room[0] / 2 - rest / 2 + 3), 0), (rest - 12, 0.8 * room[1]), rng)


def _floodlight(world: World, frame: Frame) -> None:
    bar(world, frame, [(0, 0, 0), (0, 0, 42)], (1.6, 1.0), (170, 172, 172))
    bar(world, frame, [(-5, 0, 42), (5, 0, 42)], (1.5, 1.5), (230, 230, 226))


def _grandstands(world: World, frame: Frame, scale: float, roof: Colour) -> None:
    """Add rows of seats that rise outwards, and a roof over their outer half."""
    steps = [(_oval(50 * scale, radius * scale), height) for radius, height in ((46, 2), (56, 10), (66, 19), (68, 0))]
    seats = np.array((128, 120, 122))
    for (inner, low), (outer, high), paint in zip(steps[:-1], steps[1:], (seats, seats * 0.85, seats), strict=True):
        for k in range(len(inner)):
            j = (k + 1) % len(inner)
            quad = [(*inner[k], low), (*inner[j], low), (*outer[j], high), (*outer[k], high)]
            facet(world, frame, quad, paint)
    inner, outer = (_oval(50 * scale, radius * scale) for radius in (51.0, 68.0))
    for k in range(len(inner)):
        j = (k + 1) % len(inner)
        facet(world, frame, [(*inner[k], 25), (*inner[j], 25), (*outer[j], 22), (*outer[k], 22)], roof)
        if k % 4 == 0:
            bar(world, frame, [(*inner[k], 25.2), (*outer[k], 22.2)], (0.8, 0.8), (214, 214, 210))


@dataclass(frozen=True, slots=True)
class Harbour:
    """The plan of a harbour.

    Attributes:
        frame: x along the main quay, y = 0 on its edge.
        half: extent to each side of the frame's origin, metres.
        water: water area, scene metres.
        ground: water and quays, scene metres.
    """

    frame: Frame
    half: float
    water: BaseGeometry
    ground: BaseGeometry


def plan_harbour(world: World, rng: np.random.Generator) -> Harbour:
    """Plan a harbour on one side of the scene, with basins cut into its quay."""
    extent = max(world.width_m, world.height_m)
    middle = Frame(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    frame, half = middle.child(0, rng.uniform(0.08, 0.28) * extent), 1.1 * extent
    parts = [rectangle(-half, 0, half, half)]
    for x in rng.uniform(-0.4, 0.4, int(rng.integers(0, 3))) * extent:
        parts.append(rectangle(x, -0.7 * _QUAY_M, x + rng.uniform(60, 150), 10))
    water = unary_union([Polygon(frame.points(part)) for part in parts])
    ground = Polygon(frame.points(rectangle(-half, -_QUAY_M, half, half)))
    return Harbour(frame, half, water, ground)


def build_harbour(world: World, harbour: Harbour, rng: np.random.Generator) -> None:
    """Build a harbour on the ground of its plan."""
    tone = np.array(world.palette.concrete) * rng.uniform(0.84, 1.0)
    world.pave_area(SCENE_FRAME, harbour.ground, tone, Tier.LAND, Material.CONCRETE)
    lay_water(world, harbour.water, sample_water_colour(rng), 1.0)
    x = -harbour.half
    while x < harbour.half:
        width = rng.uniform(150, 320)
        use = (_terminal, _sheds, _marina)[int(rng.choice(3, p=(0.45, 0.3, 0.25)))]
        if _in_scene(world, harbour.frame.child(x + width / 2, 0), width):
            use(world, harbour, x, width, rng)
        x += width
    _anchored_vessels(world, harbour, rng)


def _in_scene(world: World, frame: Frame, margin: float) -> bool:
    return -margin < frame.x < world.width_m + margin and -margin < frame.y < world.height_m + margin


def _on_quay(harbour: Harbour, ring: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Return whether a ring in the harbour's frame lies on its quay."""
    return not harbour.water.intersects(Polygon(harbour.frame.points(ring)))


def _terminal(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Add ships under cranes, with stacks of containers behind."""
    frame, y = harbour.frame, -34.0
    while y > -_QUAY_M + 24:
        rows = np.arange(x + 14, x + width - 14, 13.0)
        for at in rows[rng.random(len(rows)) < 0.85]:
            if _on_quay(harbour, rectangle(at - 8, y - 20, at + 8, y + 4)):
                lanes = y - np.arange(6) * 2.7
                containers(world, frame, np.stack([np.full(6, at), lanes], axis=1), 0.0, rng, 5)
        y -= 27
    for at in np.arange(x + 30, x + width - 20, rng.uniform(50, 90)):
        if _on_quay(harbour, rectangle(at - 14, -34, at + 14, -1)):
            quay_crane(world, frame.child(at, -16), rng)
    length = min(width - 12, rng.uniform(110, 300))
    if rng.random() < 0.8:
        mooring = frame.child(x + width / 2, 0.085 * length + 2, rng.choice((0.0, math.pi)))
        ship(world, mooring, length, rng)


def _sheds(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Add warehouses on the quay, trucks, and small freighters."""
    frame, roof = harbour.frame, world.palette.sample_roof(rng)
    for at in np.arange(x + 40, x + width - 30, 80.0):
        for y in (-44.0, -98.0):
            if _on_quay(harbour, rectangle(at - 36, y - 22, at + 36, y + 22)) and rng.random() < 0.85:
                building(world, frame.child(at, y), (rng.uniform(50, 72), rng.uniform(24, 40)), 9, roof, rng)
    spots = np.stack([rng.uniform(x, x + width, 14), rng.uniform(-20, -8, 14)], axis=1)
    spots = spots[[_on_quay(harbour, rectangle(a - 8, b - 3, a + 8, b + 3)) for a, b in spots]]
    trucks(world, frame, spots[::2], 0.0, rng, 12.0)
    cars(world, frame, spots[1::2], rng.choice((0.0, QUARTER_TURN)), rng)
    for at in np.arange(x + 50, x + width - 40, 105.0):
        length = rng.uniform(45, 98)
        if rng.random() < 0.6:
            ship(world, frame.child(at, 0.085 * length + 2), length, rng)


def _marina(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Add piers with yachts on both sides."""
    frame, deck = harbour.frame, (176, 168, 154)
    for at in np.arange(x + 22, x + width - 20, rng.uniform(38, 54)):
        length = rng.uniform(60, 150)
        world.draw(frame, ribbon([(at, -1.0), (at, length)], 2.4), deck, Level.VEHICLE)
        berths = np.arange(8, length - 3, 5.0)
        for side in (-1, 1):
            occupied = berths[rng.random(len(berths)) < 0.8]
            spots = np.stack([np.full(len(occupied), at + side * 9.5), occupied], axis=1)
            boats(world, frame, spots, math.pi if side > 0 else 0.0, rng)
    lot = np.stack([rng.uniform(x, x + width, 40), rng.choice((-14.0, -20.0, -36.0), 40)], axis=1)
    lot = lot[[_on_quay(harbour, rectangle(a - 3, b - 3, a + 3, b + 3)) for a, b in lot]]
    cars(world, frame, lot, QUARTER_TURN, rng)


def _anchored_vessels(world: World, harbour: Harbour, rng: np.random.Generator) -> None:
    """Add ships and boats out on the water."""
    extent = max(world.width_m, world.height_m)
    for _ in range(int(rng.integers(2, 7))):
        spot = harbour.frame.child(rng.uniform(-0.5, 0.5) * extent, rng.uniform(230, 900), rng.uniform(0, 6))
        ship(world, spot, rng.uniform(40, 220), rng)
    count = int(rng.integers(6, 40))
    afloat = np.stack([rng.uniform(-0.5, 0.5, count) * extent, rng.uniform(170, 700, count)], axis=1)
    boats(world, harbour.frame, afloat, rng.uniform(0, 6, count), rng)
